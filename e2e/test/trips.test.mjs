// Trips to the bank that do not go straight: other browsers, second hits, no
// script, presses across origins, consents that only a first link helps.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { hop } from '../lib/bank.mjs'
import { inspect } from '../lib/inspect.mjs'
import { desktop, launch, Visitor } from '../lib/visitor.mjs'
import { Dev } from '../lib/world.mjs'
import { accountLabel, bank, pages, reconnectButton } from '../pages.mjs'
import { after as days } from '../scenes.mjs'

const [world, browser] = await Promise.all([Dev.start(), launch()])
after(() => Promise.all([browser.close(), world.stop()]))

const timeout = 60_000

async function renewedOnce(id) {
  assert.equal((await world.backend.consent(id)).cycle, 2)
  assert.equal(await world.backend.count(id, 'consent.renewed'), 1)
}

async function lapsing(age = days.lapsing, link = {}) {
  const person = await world.person()
  await world.bank.advance(age)
  return { ...person, link: await world.backend.reconnectLink(person.consent.id, link) }
}

test('the press leads to the bank, on another origin, and no policy of ours kills it', { timeout }, async () => {
  const { link, consent } = await lapsing()
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  const policy = visitor.answer?.headers()['content-security-policy'] ?? ''
  assert.match(policy, /default-src 'none'/)
  assert.doesNotMatch(policy, /unsafe-inline|unsafe-eval/)
  assert.equal(new URL(visitor.page.url()).origin, world.api)
  assert.equal(await reconnectButton(visitor.page).count(), 1)
  assert.equal(await visitor.page.getByRole('button').count(), 1, 'one button, one thing to do')
  await visitor.press()
  assert.equal(new URL(visitor.page.url()).origin, world.bank.url)
  assert.equal(await world.backend.count(consent.id, 'attempt.started'), 1)
  await visitor.leave()
})

test('one press, then the login of the right bank: no bank to choose, no page between', { timeout }, async () => {
  const { link } = await lapsing()
  const visitor = await Visitor.arrive(browser, world.origins)
  const shown = []
  visitor.page.on('framenavigated', (frame) => shown.push(new URL(frame.url()).pathname.split('/')[1]))
  await visitor.open(link)
  await visitor.press()
  assert.deepEqual(shown, ['r', 'bank'])
  await visitor.leave()
})

test('the bank finishes in another browser, which has no cookie of ours', { timeout }, async () => {
  const { link, login, consent } = await lapsing()
  const mailApp = await Visitor.arrive(browser, world.origins)
  await mailApp.open(link)
  await mailApp.press()
  const atTheBank = mailApp.page.url()
  await mailApp.leave()

  const bankApp = await Visitor.arrive(browser, world.origins, { viewport: desktop, userAgent: 'BankApp/1.0 (another device)' })
  await bankApp.open(atTheBank)
  assert.deepEqual(await bankApp.context.cookies(), [])
  await bankApp.logIn(login)
  await bank.allow(bankApp.page).click()
  await bankApp.sees(pages.renewed)
  await bankApp.leave()
  await renewedOnce(consent.id)
})

test('without JavaScript all of it works', { timeout }, async () => {
  const { link, login, consent } = await lapsing()
  const visitor = await Visitor.arrive(browser, world.origins, { javaScriptEnabled: false })
  await visitor.open(link)
  await visitor.renew(login)
  await visitor.sees(pages.renewed)
  await visitor.open(link)
  await visitor.sees(pages.alreadyRenewed)
  await visitor.leave()
  await renewedOnce(consent.id)
})

test('nothing is kept in the browser: no cookie, no storage', { timeout }, async () => {
  const { link, login } = await lapsing()
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.renew(login)
  await visitor.sees(pages.renewed)
  assert.deepEqual(await visitor.context.storageState(), { cookies: [], origins: [] })
  await visitor.leave()
})

test('the result page can be reloaded, and fetched ahead, and stays the result', { timeout }, async () => {
  const { link, login, consent } = await lapsing()
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.press()
  await visitor.logIn(login)
  // Some browsers look ahead at where the bank is about to send them.
  let ahead = 0
  await visitor.context.route(`${world.bank.url}/**`, async (route) => {
    const response = await route.fetch({ maxRedirects: 0 })
    const to = response.headers().location ?? ''
    if (to.startsWith(`${world.api}/callback`)) ahead = (await hop(to, { headers: { 'Sec-Purpose': 'prefetch' } })).status
    await route.fulfill({ response })
  })
  await bank.allow(visitor.page).click()
  await visitor.sees(pages.renewed)
  assert.equal(ahead, 204)
  for (const [hours, shown] of [[0, pages.renewed], [1, pages.renewed], [24, pages.renewedLater]]) {
    if (hours) await world.bank.advance(hours / 24)
    await visitor.page.reload()
    await visitor.sees(shown)
  }
  await visitor.leave()
  await renewedOnce(consent.id)
})

test('a bank that was away: the reload goes on from where it was, and nobody signs in again', { timeout }, async () => {
  const { link, login, consent } = await lapsing()
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.press()
  await visitor.logIn(login)
  await world.bank.fault('internal_error')
  await bank.allow(visitor.page).click()
  await visitor.sees(pages.bankAway)
  await visitor.page.reload()
  await visitor.sees(pages.renewed)
  await visitor.leave()
  await renewedOnce(consent.id)
})

test('who said no, or took another login, can press again and renew', { timeout }, async () => {
  const { link, login, consent } = await lapsing()
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.press()
  await bank.deny(visitor.page).click()
  await visitor.sees(pages.denied)
  await visitor.open(link)
  await visitor.renew('john88')
  await visitor.sees(pages.otherLogin)
  await visitor.open(link)
  await visitor.renew(login)
  await visitor.sees(pages.renewed)
  await visitor.leave()
  await renewedOnce(consent.id)
  assert.equal(await world.backend.count(consent.id, 'attempt.denied'), 1)
  assert.equal(await world.backend.count(consent.id, 'consent.mismatched'), 1)
})

test('two trips of one link: the first to return renews, the other shows the same', { timeout }, async () => {
  const { link, login, consent } = await lapsing()
  const [first, second] = [await Visitor.arrive(browser, world.origins), await Visitor.arrive(browser, world.origins)]
  for (const visitor of [first, second]) {
    await visitor.open(link)
    await visitor.press()
    await visitor.logIn(login)
  }
  for (const visitor of [second, first]) {
    await bank.allow(visitor.page).click()
    await visitor.sees(pages.renewed)
    await visitor.leave()
  }
  await renewedOnce(consent.id)
})

test('what cannot be renewed any more is linked again from the same page', { timeout }, async () => {
  const { link, login, consent } = await lapsing(days.unrenewable)
  assert.equal((await world.backend.consent(consent.id)).status, 'unrenewable')
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.sees(pages.reconnectUnrenewable)
  await visitor.press()
  const started = (await world.backend.events(consent.id)).findLast((event) => event.type === 'attempt.started')
  assert.equal((await world.backend.ask(`/v1/attempts/${started.data.attempt_id}`)).kind, 'relink')
  await visitor.logIn(login)
  await bank.allow(visitor.page).click()
  await visitor.sees(pages.renewed)
  await inspect(visitor.page, 'result-linked-again')
  await visitor.leave()
  const now = await world.backend.consent(consent.id)
  assert.equal(now.status, 'active')
  assert.equal(now.credentials_id, consent.credentials_id)
})

test('the page names the account masked, and no number in full', { timeout }, async () => {
  const { link, consent } = await lapsing()
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  assert.equal(await accountLabel(visitor.page).innerText(), consent.account_label)
  assert.match(consent.account_label, /^Current account ••\d{4}$/)
  assert.doesNotMatch(await visitor.page.content(), /GB\d\d|MOCK0121/)
  await visitor.leave()
})

test('a link with return_to goes on to the application, with its state untouched', { timeout }, async () => {
  const application = `${world.api}/docs` // dev allows any loopback address; what answers there does not matter
  const state = 'a&b=c#d "e" \u00e9\u{1f3e6}'
  const { link, login, consent } = await lapsing(days.lapsing, { return_to: `${application}?tenant=1`, state })
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.renew(login)
  await visitor.sees(pages.docs)
  const query = new URL(visitor.page.url()).searchParams
  assert.equal(query.get('tenant'), '1')
  assert.equal(query.get('state'), state)
  assert.equal(query.get('status'), 'renewed')
  assert.equal(query.get('consent_id'), consent.id)
  await visitor.leave()
})

test('the mail that dev caught leads to the page of its consent', { timeout }, async () => {
  const { email, login, consent } = await lapsing(days.lapsed)
  const letter = (await world.bank.mail()).findLast((mail) => mail.to === email)
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.page.setContent(letter.html)
  await visitor.page.getByRole('link', { name: 'Reconnect' }).click()
  await visitor.sees(pages.reconnectLapsed)
  await visitor.renew(login)
  await visitor.sees(pages.renewed)
  await visitor.leave()
  await renewedOnce(consent.id)
})

test('the sandbox bank\'s own pages hold what ours hold', { timeout: 120_000 }, async () => {
  const { uri } = await world.backend.ask('/v1/authuri', { provider: 'sandbox', user_id: 'newcomer' }, { status: 201 })
  const visitor = await Visitor.arrive(browser, world.origins)
  const { page } = visitor
  await visitor.open(uri)
  await bank.choice(page, 'mock-de').check()
  await inspect(page, 'bank-choose')
  await bank.next(page).click()
  await bank.field(page, 'IBAN').fill('DE02120300000000202051')
  await bank.field(page, 'Branch code').fill('12030000')
  await inspect(page, 'bank-inputs')
  await bank.next(page).click()
  await bank.share(page).waitFor()
  await inspect(page, 'bank-share')
  await bank.share(page).click()
  await bank.user(page).waitFor()
  await inspect(page, 'bank-login')
  await visitor.logIn('john87')
  await inspect(page, 'bank-allow')
  await bank.allow(page).click()
  await visitor.sees(pages.linkedGerman)
  await visitor.leave()
})
