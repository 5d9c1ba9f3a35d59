// Takes the pictures that the documentation shows: npm run screenshots.

import { mkdir } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { launch, phone, Visitor } from './lib/visitor.mjs'
import { Dev } from './lib/world.mjs'
import { scenes } from './scenes.mjs'

const out = fileURLToPath(new URL('../docs/images/', import.meta.url))

/** File, scene, light. */
const pictures = /** @type {const} */ ([
  ['reconnect-light', 'reconnect-lapsing', 'light'],
  ['reconnect-dark', 'reconnect-lapsing', 'dark'],
  ['result-renewed', 'result-renewed', 'light'],
  ['result-other-login', 'result-other-login', 'light'],
  ['link-expired', 'link-expired', 'light'],
])

await mkdir(out, { recursive: true })
const [world, browser] = await Promise.all([Dev.start(), launch()])
try {
  for (const [file, name, colorScheme] of pictures) {
    const visitor = await Visitor.arrive(browser, world.origins, { colorScheme, viewport: phone, deviceScaleFactor: 1.25 })
    await scenes[name].reach(world, visitor)
    await visitor.sees(scenes[name].page)
    await visitor.page.screenshot({ path: `${out}${file}.png`, animations: 'disabled', fullPage: true })
    await visitor.leave()
    console.log(`docs/images/${file}.png`)
  }
} finally {
  await Promise.all([browser.close(), world.stop()])
}
