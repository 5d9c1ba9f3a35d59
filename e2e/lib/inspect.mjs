// What holds for every page, whatever it is about.

import assert from 'node:assert/strict'
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { desktop, phone } from './visitor.mjs'

/** @typedef {import('playwright-core').Page} Page */

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const out = fileURLToPath(new URL('../out/', import.meta.url))

/** More than this no page may bring over the wire. */
const heaviest = 30 * 1024

/** The narrowest screen that a page has to fit (WCAG 2.2, 1.4.10). */
const narrow = { width: 320, height: 640 }

/**
 * Looks at the page that is shown, in every light and on every screen, and
 * leaves pictures of it in out/.
 * @param {Page} page
 * @param {string} name
 */
export async function inspect(page, name) {
  await weigh(page, name)
  await readable(page, name)
  for (const [screen, viewport] of Object.entries({ phone, desktop })) {
    for (const colorScheme of /** @type {const} */ (['light', 'dark'])) {
      await page.setViewportSize(viewport)
      await page.emulateMedia({ colorScheme })
      await accessible(page, `${name}, ${screen}, ${colorScheme}`)
      if (screen === 'phone' || colorScheme === 'light') await picture(page, `${name}-${screen}-${colorScheme}`)
    }
  }
  await page.setViewportSize(narrow)
  await fits(page, name)
  await page.setViewportSize(phone)
  await page.emulateMedia({ colorScheme: 'light' })
  await focusShows(page, name)
}

/** @param {Page} page */
async function picture(page, name) {
  await mkdir(out, { recursive: true })
  await page.screenshot({ path: `${out}${name}.png`, fullPage: true, animations: 'disabled' })
}

async function weigh(page, name) {
  const weight = await page.evaluate(() =>
    [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')].reduce((sum, entry) => sum + /** @type {any} */ (entry).transferSize, 0))
  assert.ok(weight > 0 && weight < heaviest, `${name} weighs ${weight} bytes`)
}

async function readable(page, name) {
  const seen = await page.evaluate(() => ({
    lang: document.documentElement.lang, title: document.title, headings: document.querySelectorAll('h1').length,
    scripts: document.scripts.length, handlers: document.evaluate('count(//@*[starts-with(name(), "on")])', document, null, XPathResult.NUMBER_TYPE).numberValue,
  }))
  assert.match(seen.lang, /^[a-z]{2}/, `${name}: lang`)
  assert.notEqual(seen.title.trim(), '', `${name}: title`)
  assert.equal(seen.headings, 1, `${name}: headings`)
  assert.equal(seen.scripts + seen.handlers, 0, `${name}: scripts`)
}

async function accessible(page, name) {
  // Evaluated from outside, which no page's policy forbids; nothing is added to the page.
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(`${axe};0`)
  const violations = await page.evaluate(async () =>
    (await window['axe'].run(document, { resultTypes: ['violations'] })).violations.map((v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html).join(' ')}`))
  assert.deepEqual(violations, [], name)
}

async function fits(page, name) {
  const width = await page.evaluate(() => document.documentElement.scrollWidth)
  assert.ok(width <= narrow.width, `${name} is ${width} px wide on a screen of ${narrow.width}`)
}

/** Every control can be reached by keyboard, and shows that it was. */
async function focusShows(page, name) {
  const looks = (/** @type {Element} */ el) => {
    const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(el)
    return { reached: el === document.activeElement, outline: outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2, boxShadow }
  }
  await page.evaluate(() => /** @type {any} */ (document.activeElement)?.blur()) // a form may take the focus by itself
  const waiting = new Set(await page.locator('a[href], button, input:not([type=hidden], [type=radio]:not(:checked)), select, textarea, summary').filter({ visible: true }).all())
  const before = new Map()
  for (const control of waiting) before.set(control, await control.evaluate(looks))
  // Twice round: the first Tab may begin in the middle.
  for (let presses = 2 * waiting.size + 2; waiting.size > 0 && presses > 0; presses--) {
    await page.keyboard.press('Tab')
    for (const control of waiting) {
      const now = await control.evaluate(looks)
      if (!now.reached) continue
      assert.ok(now.outline || now.boxShadow !== before.get(control).boxShadow, `${name}: focus does not show on ${control}`)
      waiting.delete(control)
    }
  }
  assert.deepEqual([...waiting].map(String), [], `${name}: Tab does not reach these`)
}
