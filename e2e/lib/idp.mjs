// Package reauth/idp, as its test binary runs it: a command a line, an answer a line.

import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Where scripts/test-browser.sh puts it. */
const binary = process.env.RECONSENT_IDP_TEST ?? fileURLToPath(new URL('../../.test/idp.test', import.meta.url))

export class IDP {
  /** @param {{issuer: string, client_id: string, client_secret: string, redirect_uri: string}} provider as an application configures it */
  constructor(provider) {
    this.provider = provider
    this.child = spawn(binary, { env: { PATH: process.env.PATH, RECONSENT_DRIVE_IDP: '1' }, stdio: ['pipe', 'pipe', 'inherit'] })
    this.ended = new Promise((resolve, reject) => this.child.once('error', reject).once('close', resolve))
    this.answers = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }

  async say(command) {
    this.child.stdin.write(JSON.stringify({ provider: this.provider, ...command }) + '\n')
    const { value, done } = await this.answers.next()
    if (done) throw new Error(`${binary} ended; scripts/test-browser.sh builds it`)
    return JSON.parse(value)
  }

  /** @param {string} subject who is expected */
  start(subject) {
    return this.say({ subject })
  }

  /**
   * @param {number} trip
   * @param {string} query with which the browser came back
   * @param {string} subject
   */
  finish(trip, query, subject) {
    return this.say({ trip, query, subject })
  }

  close() {
    this.child.stdin.end()
    return this.ended
  }
}
