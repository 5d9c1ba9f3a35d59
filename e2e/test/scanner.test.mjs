// Machines read mail before people do: they open links, some post forms, some
// go on to the bank. None of it may cost the person anything.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { parse } from 'node-html-parser'
import { hop } from '../lib/bank.mjs'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Dev } from '../lib/world.mjs'
import { bank, pages } from '../pages.mjs'
import { after as days } from '../scenes.mjs'

const [world, browser] = await Promise.all([Dev.start(), launch()])
after(() => Promise.all([browser.close(), world.stop()]))

/** What each kind of machine calls itself; the last two look ahead for a person. */
const machines = [
  { 'User-Agent': 'Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Trident/5.0)' },
  { 'User-Agent': 'BarracudaCentral/1.0' },
  { 'User-Agent': 'facebookexternalhit/1.1', 'X-Purpose': 'preview' },
  { 'Sec-Purpose': 'prefetch;prerender' },
  { Purpose: 'prefetch', 'X-Moz': 'prefetch' },
]

/**
 * A machine without a browser that follows every link and posts every form:
 * each with each of its buttons, once without the hidden fields and once with
 * all. It goes where that leads, to the bank too, and ends when it has seen all.
 */
class Bot {
  constructor(origins) {
    this.origins = origins
    this.done = new Set()
    /** @type {string[]} "METHOD address", of what it asked */
    this.asked = []
    /** @type {{method: string, url: string, fields?: string}[]} */
    this.next = []
  }

  async crawl(url) {
    this.plan('GET', url)
    for (let step = this.next.shift(); step; step = this.next.shift()) await this.take(step)
  }

  plan(method, url, fields) {
    const key = `${method} ${url} ${fields ?? ''}`
    if (!this.origins.includes(new URL(url).origin) || this.done.has(key)) return
    this.done.add(key)
    this.next.push({ method, url, fields })
  }

  async take({ method, url, fields }) {
    this.asked.push(`${method} ${url}`)
    assert.ok(this.asked.length < 300, `the bot does not come to an end: ${this.asked.slice(-10)}`)
    const response = await hop(url, { method, body: fields && new URLSearchParams(fields) })
    assert.ok(response.status < 500, `${method} ${url}: ${response.status}`)
    const text = await response.text()
    const to = response.headers.get('Location')
    if (to) this.plan('GET', new URL(to, url).href)
    if (!response.headers.get('Content-Type')?.startsWith('text/html')) return
    const page = parse(text)
    for (const link of page.querySelectorAll('a[href]')) this.plan('GET', new URL(link.getAttribute('href') ?? '', url).href)
    for (const form of page.querySelectorAll('form')) this.post(form, url)
  }

  post(form, url) {
    const action = new URL(form.getAttribute('action') ?? '', url).href
    const method = (form.getAttribute('method') ?? 'get').toUpperCase()
    const filled = [...form.querySelectorAll('input, select, textarea')].map((field) => ({
      hidden: field.getAttribute('type') === 'hidden', name: field.getAttribute('name') ?? '', value: field.getAttribute('value') ?? 'test',
    }))
    for (const button of form.querySelectorAll('button, input[type=submit]')) {
      for (const fields of [filled.filter((field) => !field.hidden), filled]) {
        const query = new URLSearchParams(fields.map(({ name, value }) => [name, value]))
        if (button.getAttribute('name')) query.append(button.getAttribute('name') ?? '', button.getAttribute('value') ?? '')
        if (method === 'GET') this.plan('GET', `${action}?${query}`)
        else this.plan('POST', action, query.toString())
      }
    }
  }
}

test('a scanner and a bot come first, then the person: renewed, once', { timeout: 120_000 }, async () => {
  const { login, email, consent } = await world.person()
  await world.bank.advance(days.lapsing)
  const letter = (await world.bank.mail()).findLast((mail) => mail.to === email)
  const link = parse(letter.html).querySelector('a[href*="/r/"]')?.getAttribute('href') ?? ''
  const before = await world.backend.consent(consent.id)
  const unchanged = async (why) => assert.deepEqual(await world.backend.consent(consent.id), before, why)

  assert.equal((await hop(link, { method: 'HEAD' })).status, 200)
  for (const headers of machines) assert.equal((await hop(link, { headers })).status, 200)
  assert.equal((await hop(link, { method: 'POST', body: new URLSearchParams() })).status, 200, 'a post of nothing shows the page again')
  assert.equal((await hop(link, { method: 'POST', body: new URLSearchParams({ proceed: 'test' }) })).status, 200)
  assert.equal(await world.backend.count(consent.id, 'attempt.started'), 0, 'no look makes an attempt')
  await unchanged('after the scanner')

  const bot = new Bot(world.origins)
  await bot.crawl(link)
  assert.ok(bot.asked.some((asked) => asked.startsWith(`POST ${world.bank.url}/bank/`)), 'the bot came to the bank and posted there')
  assert.ok(bot.asked.some((asked) => asked.startsWith(`GET ${world.api}/callback`)), 'the bot came back from the bank')
  assert.ok((await world.backend.count(consent.id, 'attempt.started')) >= 1)
  assert.equal(await world.backend.count(consent.id, 'consent.renewed'), 0)
  await unchanged('after the bot')

  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.sees(pages.reconnectLapsing)
  await visitor.renew(login)
  await visitor.sees(pages.renewed)
  await visitor.leave()
  const now = await world.backend.consent(consent.id)
  assert.equal(now.status, 'active')
  assert.equal(now.cycle, before.cycle + 1)
  assert.equal(await world.backend.count(consent.id, 'consent.renewed'), 1)

  // They come again, later.
  await new Bot(world.origins).crawl(link)
  assert.deepEqual(await world.backend.consent(consent.id), now)
  assert.equal(await world.backend.count(consent.id, 'attempt.started'), (await world.backend.events(consent.id)).filter((e) => e.type === 'attempt.started' && e.cycle === before.cycle).length)
})

test('a bot presses while the person is at the bank: the person still renews', { timeout: 60_000 }, async () => {
  const { login, consent } = await world.person()
  await world.bank.advance(days.lapsing)
  const link = await world.backend.reconnectLink(consent.id)
  const visitor = await Visitor.arrive(browser, world.origins)
  await visitor.open(link)
  await visitor.press()
  await new Bot(world.origins).crawl(link)
  await visitor.logIn(login)
  await bank.allow(visitor.page).click()
  await visitor.sees(pages.renewed)
  await visitor.leave()
  assert.equal(await world.backend.count(consent.id, 'consent.renewed'), 1)
})
