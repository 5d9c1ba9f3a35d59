// A result page that ends badly offers the way on: one press, and the bank
// again.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Dev } from '../lib/world.mjs'
import { again, bank, pages } from '../pages.mjs'
import { scenes } from '../scenes.mjs'

const [world, browser] = await Promise.all([Dev.start(), launch()])
after(() => Promise.all([browser.close(), world.stop()]))

const timeout = 60_000

for (const name of ['result-denied', 'result-other-login', 'result-other-accounts', 'result-bank-trouble', 'result-code-refused', 'result-too-late', 'press-bank-away']) {
  test(`${name}: one press leads to the bank again`, { timeout }, async () => {
    const visitor = await Visitor.arrive(browser, world.origins)
    const { login, consent } = await scenes[name].reach(world, visitor)
    await visitor.sees(scenes[name].page)
    assert.equal(await again(visitor.page).count(), 1, 'one thing to do')
    await again(visitor.page).click()
    await bank.login(visitor.page).waitFor()
    await visitor.logIn(login)
    await bank.allow(visitor.page).click()
    await visitor.sees(pages.renewed)
    await visitor.leave()
    assert.equal(await world.backend.count(consent.id, 'consent.renewed'), 1)
  })
}
