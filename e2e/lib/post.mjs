// A real mail server, and reading what arrives there.

import PostalMime from 'postal-mime'
import { SMTPServer } from 'smtp-server'
import { patience } from './program.mjs'

/** @typedef {import('postal-mime').Email} Mail */

export class PostOffice {
  static async open() {
    const office = new PostOffice()
    await new Promise((resolve, reject) => office.server.once('error', reject).listen(0, '127.0.0.1', () => resolve(undefined)))
    return office
  }

  constructor() {
    /** @type {Mail[]} in the order of their arrival */
    this.arrived = []
    this.waiting = new Set()
    this.server = new SMTPServer({
      authOptional: true,
      disabledCommands: ['STARTTLS', 'AUTH'],
      onData: (stream, _session, accept) => {
        const chunks = []
        stream.on('data', (chunk) => chunks.push(chunk))
        stream.on('end', async () => {
          const mail = await PostalMime.parse(Buffer.concat(chunks))
          this.arrived.push(mail)
          accept()
          this.waiting.forEach((look) => look())
        })
      },
    })
  }

  get url() {
    return `smtp://127.0.0.1:${/** @type {any} */ (this.server.server.address()).port}?tls=none`
  }

  /**
   * A mail to an address, the first where no number is given, arrived already or yet to come.
   * @param {string} address
   * @param {number} [nth]
   * @returns {Promise<Mail>}
   */
  mailTo(address, nth = 1) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const mail = this.arrived.filter((m) => m.to?.some((to) => to.address === address))[nth - 1]
        if (!mail) return
        clearTimeout(timer)
        this.waiting.delete(look)
        resolve(mail)
      }
      const timer = setTimeout(() => reject(new Error(`no mail to ${address}; ${this.arrived.length} others`)), patience)
      this.waiting.add(look)
      look()
    })
  }

  close() {
    return new Promise((resolve) => this.server.close(() => resolve(undefined)))
  }
}
