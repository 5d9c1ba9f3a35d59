// Names that people and banks could choose to do harm, or just have.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Renamer } from '../lib/double.mjs'
import { inspect } from '../lib/inspect.mjs'
import { PostOffice } from '../lib/post.mjs'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Deployment } from '../lib/world.mjs'
import { accountLabel, pages } from '../pages.mjs'

const timeout = 60_000

/** Markup in every place where it could break out, quotes, emoji, and another script. */
const application = `<img src=x onerror=alert(1)>"'&amp; \u{1f3e6} \u05d1\u05e0\u05e7`
const account = `</dd><script>alert(2)</script>"' onfocus=alert(3) \u{1f469}\u200d\u{1f4bb} \u062d\u0633\u0627\u0628`

/** The same for a mail's headers. */
const sender = `</h1><img src=x onerror=alert(4)>'&amp; \u{1f3e6}`
const person = `</p><style>*{display:none}</style><svg onload=alert(5)> \u00c5sa \u{1f9d1}\u{1f3fd}`

const renamer = new Renamer(account)
const [office, browser] = await Promise.all([PostOffice.open(), launch()])
const world = await Deployment.start({
  smtp: office.url, applications: [{ slug: 'acme', name: application }], dataURL: (url) => renamer.standBefore(url),
})
after(() => Promise.all([browser.close(), world.stop(), office.close(), renamer.close()]))

/** Nothing but what our templates hold. */
async function clean(page) {
  assert.equal(await page.locator('img, script, svg:not(.mark, .lock), [onload], iframe, main style').count(), 0, 'no element came from a name')
  assert.equal(await page.locator('style').count(), 1)
}

test('on every page they are shown as they are written, and nothing runs', { timeout: 120_000 }, async () => {
  const { acme } = world.applications
  const visitor = await Visitor.arrive(browser, world.origins)
  const { page } = visitor
  await world.link(acme, { user: 'ada', login: 'john' })
  const { consents: [consent] } = await acme.ask('/v1/consents?user_id=ada')
  assert.ok(consent.account_label.startsWith(account), consent.account_label)

  await visitor.open(await acme.reconnectLink(consent.id))
  await clean(page)
  assert.ok((await page.getByRole('main').innerText()).includes(application))
  assert.equal(await accountLabel(page).innerText(), consent.account_label)
  await inspect(page, 'names-reconnect')

  await visitor.renew('john1')
  await visitor.sees({ status: 409, heading: pages.otherLogin.heading })
  await clean(page)
  for (const name of [application, consent.account_label]) assert.ok((await page.getByRole('main').innerText()).includes(name), name)
  await inspect(page, 'names-other-login')
  await visitor.leave()
})

test('in a mail they are shown as they are written, and nothing runs', { timeout }, async () => {
  const mailing = await world.application('mailing', sender)
  await mailing.ask('/v1/users/ada', { email: 'ada@mail.example', name: person }, { method: 'PUT' })
  await world.import('mailing', [{ login: 'john2', user: 'ada', email: 'ada@mail.example', age: 91 }])
  await world.sweep()
  const letter = await office.mailTo('ada@mail.example')
  assert.equal(letter.from?.name, sender)
  assert.equal(letter.to?.[0].name, person)
  for (const name of [sender, person]) assert.ok(letter.text?.includes(name), name)

  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.page.setContent(letter.html ?? '')
  for (const name of [sender, person]) assert.ok((await visitor.page.locator('body').innerText()).includes(name), name)
  assert.equal(await visitor.page.locator('img, script, svg, body style').count(), 0)
  await visitor.leave()
})
