// The sandbox bank, walked through without a browser: for what a test stands
// on, not for what it is about.

import { parse } from 'node-html-parser'
import { call } from './backend.mjs'

/** Fetches one answer; never follows a redirect. */
export function hop(url, options = {}) {
  return fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(30_000), ...options })
}

/** Each login's own. @param {string} login */
export const passwordOf = (login) => login.replace('john', 'doe')

/**
 * Walks from a link of the bank's to the address that it sends the browser to
 * in the end.
 * @param {string} link
 * @param {string} login john, john1 ... john100
 * @param {string} [password]
 * @returns {Promise<string>}
 */
export async function signIn(link, login, password = passwordOf(login)) {
  const bank = new URL(link).origin
  let at = link
  for (let steps = 0; steps < 20; steps++) {
    if (new URL(at).origin !== bank) return at
    let response = await hop(at)
    if (response.status === 200) {
      const form = parse(await response.text()).querySelector('form')
      const step = form?.querySelector('[name=step]')?.getAttribute('value')
      const fields = new URLSearchParams({ step: step ?? '', provider_id: 'mock', username: login, password })
      response = await hop(new URL(form?.getAttribute('action') ?? at, at), { method: 'POST', body: fields })
    }
    const to = response.headers.get('Location')
    if (!to) throw new Error(`the bank led nowhere from ${at}: ${response.status}`)
    at = new URL(to, at).href
  }
  throw new Error('the bank goes round in circles')
}

export class Bank {
  /** @param {string} url base URL of the sandbox */
  constructor(url) {
    this.url = url
  }

  async control(path, body) {
    const answer = await call(`${this.url}/_control/${path}`, { body })
    if (answer.status !== 200) throw new Error(`/_control/${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  /** Lets time pass, at the bank and in dev's connector. @param {number} days */
  advance(days) {
    return this.control('clock', { advance: `${Math.round(days * 24 * 60)}m` })
  }

  /** Switches a fault on for the next calls. */
  fault(name, times = 1) {
    return this.control('faults', { name, times })
  }

  /** Every mail that dev caught, newest last. */
  async mail() {
    return (await this.control('mail')).messages
  }
}
