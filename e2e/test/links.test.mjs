// Links that lead nowhere any more, and what the page then offers: others had
// links that were dead when clicked, and old links that stayed powerful.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { parse } from 'node-html-parser'
import { hop } from '../lib/bank.mjs'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Dev } from '../lib/world.mjs'
import { newLinkButton, pages } from '../pages.mjs'
import { after as days, linksTo as linksIn } from '../scenes.mjs'

const [world, browser] = await Promise.all([Dev.start(), launch()])
after(() => Promise.all([browser.close(), world.stop()]))

const timeout = 60_000
const linksTo = (email) => linksIn(world, email)

async function expired() {
  const person = await world.person()
  await world.bank.advance(days.lapsing)
  const link = await world.backend.reconnectLink(person.consent.id)
  await world.bank.advance(31)
  return { ...person, link }
}

test('an expired link has one button, which mails a new one to the known address only', { timeout }, async () => {
  const { link, email, login, consent } = await expired()
  const before = (await linksTo(email)).length
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.sees(pages.linkExpired)
  assert.ok(!(await visitor.page.content()).includes(email), 'the address is not shown')
  assert.equal(await visitor.page.getByRole('textbox').count(), 0, 'and none can be typed')
  await newLinkButton(visitor.page).click()
  await visitor.sees(pages.newLinkSent)
  await world.bank.advance(0.01) // what became due is done when this answers
  const mails = await linksTo(email)
  assert.equal(mails.length, before + 1)
  const fresh = mails.at(-1)
  assert.notEqual(fresh, link)

  await visitor.open(link)
  await visitor.sees(pages.linkExpired)
  await visitor.open(fresh)
  await visitor.renew(login)
  await visitor.sees(pages.renewed)
  await visitor.leave()
  assert.equal(await world.backend.count(consent.id, 'consent.renewed'), 1)
})

test('the fourth new link within an hour is refused', { timeout }, async () => {
  const { link, email } = await expired()
  const before = (await linksTo(email)).length
  const visitor = await Visitor.arrive(browser, world.origins)
  for (const status of [200, 200, 200, 429]) {
    await visitor.open(link)
    await newLinkButton(visitor.page).click()
    await visitor.sees(status === 200 ? pages.newLinkSent : pages.askedOften)
  }
  await visitor.leave()
  await world.bank.advance(0.01)
  assert.ok((await linksTo(email)).length <= before + 3)
})

test('a post of nothing mails nobody', { timeout }, async () => {
  const { link, email } = await expired()
  const page = parse(await (await hop(link)).text())
  const action = page.querySelector('form')?.getAttribute('action')
  assert.ok(action, 'there is a form')
  const before = (await linksTo(email)).length
  await hop(new URL(action, link), { method: 'POST', body: new URLSearchParams() })
  await world.bank.advance(0.01)
  assert.equal((await linksTo(email)).length, before)
})

test('another address: the links that went to the former one are dead', { timeout }, async () => {
  const { link, user } = await (async () => {
    const person = await world.person()
    await world.bank.advance(days.lapsing)
    return { ...person, link: (await linksTo(person.email)).at(-1) }
  })()
  await world.backend.ask(`/v1/users/${user}`, { email: 'new@example.org' }, { method: 'PUT' })
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.sees(pages.moved)
  assert.equal((await hop(link, { method: 'POST', body: new URLSearchParams({ proceed: 'x' }) })).status, 410)
  await visitor.leave()
})

test('a link cut off to nothing still shows a page, not JSON', { timeout }, async () => {
  for (const path of ['/r/', '/r', '/nothing-here']) {
    const response = await hop(world.api + path, { headers: { Accept: 'text/html,application/xhtml+xml' } })
    assert.equal(response.status, 404)
    assert.match(response.headers.get('Content-Type') ?? '', /^text\/html/, path)
  }
})
