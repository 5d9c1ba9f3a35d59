// renew_by extend (UK): the page shows the statement and a Confirm button, the
// act is recorded, and only a bank that asks for it is visited.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { PostOffice } from '../lib/post.mjs'
import { run } from '../lib/program.mjs'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Deployment } from '../lib/world.mjs'
import { inspect } from '../lib/inspect.mjs'
import { bank, confirmButton, pages } from '../pages.mjs'

const timeout = 60_000
const [office, browser] = await Promise.all([PostOffice.open(), launch()])
const world = await Deployment.start({ smtp: office.url, applications: [{ slug: 'acme', name: 'Acme Budget' }] })
after(() => Promise.all([browser.close(), world.stop(), office.close()]))
await run(['app', 'set', 'acme', '--renew-by', 'truelayer=extend', '--colour', '#ffd54f'], world.env) // a light colour: dark letters

/** Somebody whose bank and account are known by name. */
async function linked(user, login, password) {
  const { acme } = world.applications
  await acme.ask(`/v1/users/${user}`, { email: `${user}@mail.example`, name: 'Ada Lovelace' }, { method: 'PUT' })
  await world.link(acme, { user, login, password })
  const { consents: [consent] } = await acme.ask(`/v1/consents?user_id=${user}`)
  return { acme, consent, link: await acme.reconnectLink(consent.id) }
}

/** Somebody who was imported. */
async function lapsing(user, login, password) {
  const { acme } = world.applications
  await acme.ask(`/v1/users/${user}`, { email: `${user}@mail.example`, name: 'Ada Lovelace' }, { method: 'PUT' })
  await world.import('acme', [{ login, password, user, email: `${user}@mail.example`, age: 84, custody: 'backend' }])
  const { consents: [consent] } = await acme.ask(`/v1/consents?user_id=${user}`)
  return { acme, consent, link: await acme.reconnectLink(consent.id) }
}

test('confirmed here, renewed at once, without a visit to the bank', { timeout }, async () => {
  const { acme, consent, link } = await linked('ada', 'john', 'eternal')
  const visitor = await Visitor.arrive(browser, [world.api]) // the bank's page is never asked
  await visitor.open(link)
  await visitor.sees(pages.statement)
  await inspect(visitor.page, 'statement')
  const shown = await visitor.page.getByRole('main').innerText()
  await confirmButton(visitor.page).click()
  await visitor.sees(pages.alreadyRenewed)
  assert.equal(visitor.page.url(), link, 'a reload asks for nothing')
  await inspect(visitor.page, 'statement-confirmed')
  await visitor.leave()
  assert.equal((await acme.consent(consent.id)).cycle, 2)
  const { confirmations } = await acme.ask(`/v1/consents/${consent.id}/confirmations`)
  assert.equal(confirmations.length, 1)
  const plain = (text) => text.replace(/\s+/g, ' ')
  assert.ok(plain(shown).includes(plain(confirmations[0].statement)), 'the words recorded are the words shown')
})

test('a bank that wants to see the person: confirmed here, then signed in there', { timeout }, async () => {
  const { acme, consent, link } = await lapsing('grace', 'john1')
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await confirmButton(visitor.page).click()
  await visitor.logIn('john1')
  await bank.allow(visitor.page).click()
  await visitor.sees(pages.renewed)
  await visitor.leave()
  assert.equal((await acme.consent(consent.id)).cycle, 2)
})
