// From a mail on a real server to a renewed consent: `serve` and `sandbox` as
// two processes, wall time, several applications.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { parse } from 'node-html-parser'
import { hop } from '../lib/bank.mjs'
import { inspect } from '../lib/inspect.mjs'
import { PostOffice } from '../lib/post.mjs'
import { run } from '../lib/program.mjs'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Deployment } from '../lib/world.mjs'
import { bank, mail, newLinkButton, pages } from '../pages.mjs'

const timeout = 60_000
const [office, browser] = await Promise.all([PostOffice.open(), launch()])
const world = await Deployment.start({
  smtp: office.url,
  applications: [{ slug: 'acme', name: 'Acme Budget' }, { slug: 'other', name: 'Other Books' }, { slug: 'careful', name: 'Careful Books', confirmLinks: true }],
})
after(() => Promise.all([browser.close(), world.stop(), office.close()]))

/** The addresses in a mail that lead to a reconnect page. */
const linksOf = (letter) => parse(letter.html).querySelectorAll('a').map((a) => a.getAttribute('href') ?? '').filter(mail.isReconnectLink)

/** The only consent of a user. */
async function consentOf(application, user) {
  const { consents } = await application.ask(`/v1/consents?user_id=${user}`)
  assert.equal(consents.length, 1)
  return consents[0]
}

test('the mail arrives, its link is opened, the button pressed, the login filled in: renewed', { timeout }, async () => {
  const { acme } = world.applications
  await world.import('acme', [{ login: 'john', user: 'ada', email: 'ada@mail.example', age: 91 }])
  await world.sweep()

  const letter = await office.mailTo('ada@mail.example')
  assert.match(letter.subject ?? '', mail.lapsed.subject)
  assert.equal(letter.from?.name, 'Acme Budget')
  const before = await consentOf(acme, 'ada')
  assert.equal(before.status, 'lapsed')
  const [link, ...more] = linksOf(letter)
  assert.deepEqual(more, [], 'one consent, one link')
  assert.ok(letter.text?.includes(link), 'the plain text has it too')

  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.sees(pages.reconnectUnknownBank)
  await visitor.renew('john')
  await visitor.sees(pages.renewed)
  await inspect(visitor.page, 'mail-renewed')
  await visitor.leave()

  const renewed = await acme.consent(before.id)
  assert.equal(renewed.status, 'active')
  assert.equal(renewed.cycle, 2)
  assert.equal(renewed.credentials_id, before.credentials_id)
  assert.ok(new Date(renewed.expires_at) > new Date(Date.now() + 89 * 24 * 3600_000))
  assert.equal(await acme.count(before.id, 'consent.renewed'), 1)
  assert.equal(office.arrived.length, 1, 'one mail, and none since')
})

test('two consents due together: one mail, and each link leads to its own', { timeout }, async () => {
  const { acme } = world.applications
  await world.import('acme', [
    { login: 'john1', user: 'grace', email: 'grace@mail.example', age: 91 },
    { login: 'john2', user: 'grace', email: 'grace@mail.example', age: 95 },
  ])
  await world.sweep()
  const letter = await office.mailTo('grace@mail.example')
  const links = linksOf(letter)
  assert.equal(links.length, 2)

  // The nearest lapse stands first: it is john1's.
  for (const [i, login] of ['john1', 'john2'].entries()) {
    const visitor = await Visitor.arrive(browser, world.origins)
    await visitor.open(links[i])
    await visitor.renew(login)
    await visitor.sees(pages.renewed)
    await visitor.leave()
  }
  const { consents } = await acme.ask('/v1/consents?user_id=grace')
  assert.deepEqual(consents.map((c) => [c.status, c.cycle]), [['active', 2], ['active', 2]])
  assert.equal(office.arrived.filter((m) => m.to?.some((to) => to.address === 'grace@mail.example')).length, 1)
})

test('a mailed link that has expired: a new one is asked for, arrives, and leads on', { timeout }, async () => {
  const { acme } = world.applications
  await world.import('acme', [{ login: 'john5', user: 'edsger', email: 'edsger@mail.example', age: 91 }])
  await run(['app', 'set', 'acme', '--link-validity', '1us'], world.env)
  await world.sweep()
  const [old] = linksOf(await office.mailTo('edsger@mail.example'))
  await run(['app', 'set', 'acme', '--link-validity', '0'], world.env)

  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(old)
  await visitor.sees(pages.linkExpiredUnknownBank)
  await inspect(visitor.page, 'mail-link-expired')
  await newLinkButton(visitor.page).click()
  await visitor.sees(pages.newLinkSent)
  const [link, ...more] = linksOf(await office.mailTo('edsger@mail.example', 2))
  assert.deepEqual(more, [])
  assert.notEqual(link, old)
  await visitor.open(old)
  await visitor.sees(pages.linkExpiredUnknownBank) // it stays dead

  await visitor.open(link)
  await visitor.sees(pages.reconnectUnknownBank)
  await visitor.renew('john5')
  await visitor.sees(pages.renewed)
  await visitor.leave()
  assert.equal((await consentOf(acme, 'edsger')).cycle, 2)
})

test('a token of another application is unknown, and tells nothing', { timeout }, async () => {
  const { acme } = world.applications
  await world.import('acme', [{ login: 'john3', user: 'linus', email: 'linus@mail.example', age: 80 }])
  const link = await acme.reconnectLink((await consentOf(acme, 'linus')).id)
  assert.ok(link.includes('/r/acme.'))

  const visitor = await Visitor.arrive(browser, world.origins)
  for (const name of ['other', 'nobody', '', 'acme.acme', 'ACME', '%61cme%2e']) {
    const forged = link.replace('/r/acme.', `/r/${name}.`)
    await visitor.open(forged)
    await visitor.sees(pages.unknownLink)
    assert.doesNotMatch(await visitor.page.content(), /Acme Budget|Other Books|linus/)
    assert.equal((await hop(forged, { method: 'POST', body: new URLSearchParams({ proceed: 'x' }) })).status, 404)
  }
  await inspect(visitor.page, 'link-of-another-application')
  await visitor.leave()
})

test('a key of another application makes no link', { timeout }, async () => {
  const { acme, other } = world.applications
  const { id } = await consentOf(acme, 'linus')
  assert.equal((await other.ask(`/v1/consents/${id}/reconnect-links`, {}, { status: 404 })).code, 'consent_not_found')
})

test('a first link that its application has to confirm: almost done, not connected', { timeout }, async () => {
  const { careful } = world.applications
  const { uri } = await careful.ask('/v1/authuri', { provider: 'truelayer', provider_id: 'mock', user_id: 'dennis' }, { status: 201 })
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(uri)
  await bank.share(visitor.page).click()
  await visitor.logIn('john4')
  await bank.allow(visitor.page).click()
  await visitor.sees(pages.pending)
  await inspect(visitor.page, 'result-pending')
  await visitor.leave()
  assert.equal((await consentOf(careful, 'dennis')).status, 'pending')
})

test('the page of the API documentation', { timeout }, async () => {
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(`${world.api}/`)
  await visitor.sees(pages.docs)
  await inspect(visitor.page, 'docs')
  await visitor.leave()
})
