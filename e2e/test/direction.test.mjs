// Names that once broke a page or a mail: directions turned, no space to break
// a line at, quotes in a header.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Renamer } from '../lib/double.mjs'
import { inspect } from '../lib/inspect.mjs'
import { PostOffice } from '../lib/post.mjs'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Deployment } from '../lib/world.mjs'
import { reconnectButton } from '../pages.mjs'

const timeout = 60_000
const override = '\u202e' // right to left, whatever comes
const [office, browser, renamer] = await Promise.all([PostOffice.open(), launch(), new Renamer(`Current ${override}tnuocca`)])
const world = await Deployment.start({
  smtp: office.url, applications: [{ slug: 'reversed', name: `Acme ${override}tegduB` }], dataURL: (url) => renamer.standBefore(url),
})
after(() => Promise.all([browser.close(), world.stop(), office.close(), renamer.close()]))

async function pageOf(application) {
  await world.link(application, { user: 'ada', login: 'john' })
  const { consents: [consent] } = await application.ask('/v1/consents?user_id=ada')
  return application.reconnectLink(consent.id)
}

// A browser lays an overridden text out from right to left until its paragraph
// ends, so the words of ours that follow stand mirrored.
test('a name that turns the direction turns no words of ours', { timeout }, async () => {
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(await pageOf(world.applications.reversed))
  await reconnectButton(visitor.page).waitFor()
  const mirrored = await visitor.page.evaluate((mark) => {
    const found = []
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    for (let node = texts.nextNode(); node; node = texts.nextNode()) {
      const text = node.nodeValue ?? ''
      const block = node.parentElement?.closest('p, h1, dd, button, dt') ?? document.body
      if (!block.textContent?.includes(mark)) continue
      const left = (i) => {
        const range = document.createRange()
        range.setStart(/** @type {Node} */ (node), i)
        range.setEnd(/** @type {Node} */ (node), i + 1)
        return range.getBoundingClientRect()
      }
      for (const word of text.matchAll(/\b(permission|running|renew|account|Continue)\b/g)) {
        const [first, last] = [left(word.index), left(word.index + word[0].length - 1)]
        if (first.top === last.top && first.left > last.left) found.push(word[0])
      }
    }
    return found
  }, override)
  assert.deepEqual(mirrored, [])
  await visitor.leave()
})

test('a name of 200 bytes without a space fits the narrowest screen', { timeout }, async () => {
  const long = await world.application('long', 'W'.repeat(200))
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(await pageOf(long))
  await inspect(visitor.page, 'names-long')
  await visitor.leave()
})

for (const [what, application, person] of [
  ['an application', 'Acme "Budget', 'Ada'],
  ['a person', 'Acme', 'Ada "Countess" Lovelace'],
  ['a person, with a backslash', 'Acme', 'Ada \\'],
]) {
  test(`quotes in the name of ${what} keep no mail from leaving`, { timeout }, async () => {
    const slug = `quotes-${what.replace(/[^a-z]+/g, '-')}`
    const email = `${slug}@mail.example`
    const quoted = await world.application(slug, application)
    await quoted.ask('/v1/users/ada', { email, name: person }, { method: 'PUT' })
    await world.import(slug, [{ login: 'john9', user: 'ada', email, age: 91 }])
    await world.sweep()
    const letter = await office.mailTo(email)
    assert.equal(letter.from?.name, application)
    assert.equal(letter.to?.[0].name, person)
  })
}
