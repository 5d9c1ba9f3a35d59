// A person with a browser, and an eye on what the browser complains of.

import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { chromium } from 'playwright-core'
import { bank, reconnectButton } from '../pages.mjs'
import { passwordOf } from './bank.mjs'

/** @typedef {import('playwright-core').Page} Page */
/** @typedef {import('../pages.mjs').PageText} PageText */

const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']

/** The machine's own browser; none is downloaded. */
export function launch() {
  const executablePath = process.env.CHROMIUM ?? browsers.find((path) => existsSync(path))
  if (!executablePath) throw new Error('no Chromium here; scripts/setup.sh browser installs it')
  return chromium.launch({ executablePath, args: process.getuid?.() === 0 ? ['--no-sandbox'] : [], timeout: 60_000 })
}

export const phone = { width: 360, height: 740 }
export const desktop = { width: 1280, height: 800 }

export class Visitor {
  /**
   * @param {import('playwright-core').Browser} browser
   * @param {string[]} origins which the browser may ask; any other is a fault
   * @param {import('playwright-core').BrowserContextOptions} [options]
   */
  static async arrive(browser, origins, options = {}) {
    const context = await browser.newContext({ viewport: phone, locale: 'en-GB', ...options })
    context.setDefaultTimeout(20_000)
    const page = await context.newPage()
    return new Visitor(context, page, origins)
  }

  constructor(context, page, origins) {
    /** @type {import('playwright-core').BrowserContext} */
    this.context = context
    /** @type {Page} */
    this.page = page
    /** @type {string[]} what must not have happened */
    this.faults = []
    /** @type {import('playwright-core').Response | undefined} of the page that is shown */
    this.answer = undefined
    /** @type {Set<string>} addresses whose own answer was an error, which the console repeats */
    const refused = new Set()
    page.on('response', (response) => {
      if (!response.request().isNavigationRequest()) return
      this.answer = response
      if (response.status() >= 400) refused.add(response.url())
    })
    page.on('request', (request) => {
      if (!origins.includes(new URL(request.url()).origin)) this.faults.push(`asked ${request.url()}`)
    })
    page.on('console', (message) => {
      const repeats = /^Failed to load resource: the server responded with a status of /.test(message.text()) && refused.has(message.location().url)
      if (['error', 'warning'].includes(message.type()) && !repeats) this.faults.push(`console: ${message.text()} (${message.location().url})`)
    })
    page.on('pageerror', (error) => this.faults.push(`script: ${error}`))
    page.on('dialog', (dialog) => {
      this.faults.push(`dialog: ${dialog.message()}`)
      dialog.dismiss()
    })
  }

  /** @param {string} url */
  async open(url) {
    await this.page.goto(url)
  }

  /**
   * Waits until a page is shown, and checks that it tells what it should.
   * @param {PageText} text
   */
  async sees({ status, heading, says = [], never = [] }) {
    await this.page.getByRole('heading', { level: 1 }).filter({ hasText: heading }).waitFor()
    assert.equal(this.answer?.status(), status)
    const main = await this.page.getByRole('main').innerText()
    for (const pattern of says) assert.match(main, pattern)
    const everything = await this.page.content()
    for (const pattern of never) assert.doesNotMatch(everything, pattern)
  }

  /** Presses the reconnect page's button and waits for the bank's login. */
  async press() {
    await reconnectButton(this.page).click()
    await bank.login(this.page).waitFor()
  }

  /** Fills in the bank's login, and waits for what the bank asks next. @param {string} login */
  async logIn(login) {
    await bank.user(this.page).fill(login)
    await bank.password(this.page).fill(passwordOf(login))
    await bank.signIn(this.page).click()
    await bank.allow(this.page).waitFor()
  }

  /** From the reconnect page through the bank. @param {string} login */
  async renew(login) {
    await this.press()
    await this.logIn(login)
    await bank.allow(this.page).click()
  }

  /** Closes the browser's window; fails if the browser had anything to complain of. */
  async leave() {
    await this.context.close()
    assert.deepEqual(this.faults, [])
  }
}
