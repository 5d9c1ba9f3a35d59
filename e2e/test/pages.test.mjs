// Every page that a person can come to: that it tells the truth, that it leaves
// the consent as it should, and what holds for every page.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { inspect } from '../lib/inspect.mjs'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Dev } from '../lib/world.mjs'
import { scenes } from '../scenes.mjs'

const [world, browser] = await Promise.all([Dev.start(), launch()])
after(() => Promise.all([browser.close(), world.stop()]))

for (const [name, scene] of Object.entries(scenes)) {
  test(name, { timeout: 60_000 }, async () => {
    const visitor = await Visitor.arrive(browser, world.origins)
    const { consent } = await scene.reach(world, visitor)
    await visitor.sees(scene.page)
    await inspect(visitor.page, name)
    await visitor.leave()

    const now = await world.backend.consent(consent.id)
    assert.equal(now.cycle, scene.becomes === 'renewed' ? 2 : 1)
    assert.equal(now.status === 'revoked', scene.becomes === 'revoked')
    assert.equal(await world.backend.count(consent.id, 'consent.renewed'), scene.becomes === 'renewed' ? 1 : 0)
    if (scene.becomes === 'kept') assert.equal(now.expires_at, consent.expires_at, 'the consent is as it was')
    await scene.end?.(world)
  })
}
