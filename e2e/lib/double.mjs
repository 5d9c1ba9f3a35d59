// A bank that calls its accounts whatever a test wants: the sandbox's data
// calls, with other names in the answers.

import { once } from 'node:events'
import { createServer } from 'node:http'

export class Renamer {
  /** @param {string} accountName */
  constructor(accountName) {
    this.accountName = accountName
    this.bank = ''
    this.server = createServer(async (request, response) => {
      try {
        const { host, ...headers } = request.headers
        const answer = await fetch(this.bank + request.url, { headers: /** @type {any} */ (headers) })
        const body = await answer.json()
        for (const account of request.url?.endsWith('/accounts') ? body.results ?? [] : []) account.display_name = this.accountName
        response.writeHead(answer.status, { 'Content-Type': 'application/json' }).end(JSON.stringify(body))
      } catch (error) {
        response.writeHead(502).end(String(error))
      }
    })
  }

  /** Begins to stand before a bank. @param {string} bank base URL @returns {Promise<string>} the address of its data calls, now */
  async standBefore(bank) {
    this.bank = bank
    if (!this.server.listening) await once(this.server.listen(0, '127.0.0.1'), 'listening')
    return `http://127.0.0.1:${/** @type {any} */ (this.server.address()).port}/data/v1`
  }

  close() {
    this.server.closeAllConnections()
    return new Promise((resolve) => this.server.close(resolve))
  }
}
