// A result page that ends badly offers the way on: one press, and the bank
// again. Today it sends the person back to look for the mail. Moves to test/
// when the pages do this.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Dev } from '../lib/world.mjs'
import { bank, pages } from '../pages.mjs'
import { scenes } from '../scenes.mjs'

const [world, browser] = await Promise.all([Dev.start(), launch()])
after(() => Promise.all([browser.close(), world.stop()]))

const timeout = 60_000
const again = (page) => page.getByRole('main').locator('a, button')

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

test('who shared other accounts under the right login is not told that the login was wrong', { timeout }, async () => {
  const visitor = await Visitor.arrive(browser, world.origins)
  await scenes['result-other-accounts'].reach(world, visitor)
  const main = visitor.page.getByRole('main')
  await main.getByText(/account/i).first().waitFor()
  assert.doesNotMatch(await main.innerText(), /another bank login|sign in with the login/i)
  assert.match(await main.innerText(), /choose|select|same account/i)
  await visitor.leave()
})

test('the result says which account is connected', { timeout }, async () => {
  const visitor = await Visitor.arrive(browser, world.origins)
  await scenes['result-renewed'].reach(world, visitor)
  await visitor.sees({ ...pages.renewed, says: [/••\d{4}/] })
  await visitor.leave()
})
