// A real OpenID provider, of the kind that an application brings its users
// from: certified software, two accounts, a form without passwords.
//
//   node e2e/lib/openid.mjs REDIRECT_URI...
//
// serves until it is stopped, and says first, as one line of JSON, where and
// for which clients.

import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { Provider } from 'oidc-provider'

/** The accounts; each one's sub is its name. */
export const accounts = ['ada', 'bob']

/** Two clients: the other asks for no auth_time where nobody asked for max_age. */
export const clients = [
  { client_id: 'reconsent', client_secret: 'a secret / of: reconsent', require_auth_time: true },
  { client_id: 'timeless', client_secret: 'a secret / of: timeless', require_auth_time: false },
]

export class OpenID {
  /** @param {string[]} redirectURIs of every client */
  static async open(redirectURIs) {
    const openid = await OpenID.listen()
    openid.serve(redirectURIs)
    return openid
  }

  /** Has an address, and serves nothing yet: whose address is not known yet may be told this one. */
  static async listen() {
    const openid = new OpenID()
    await once(openid.server.listen(0, '127.0.0.1'), 'listening')
    return openid
  }

  constructor() {
    /** How long ago a sign-in at the form says that it was, in seconds. */
    this.signedInAgo = 0
    this.server = createServer()
  }

  /** Its issuer. */
  get url() {
    return `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (this.server.address()).port}`
  }

  serve(redirectURIs) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    this.provider = new Provider(this.url, {
      clients: clients.map((client) => ({ ...client, redirect_uris: redirectURIs })),
      jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), use: 'sig', alg: 'RS256' }] },
      cookies: { keys: [randomUUID()] },
      features: { devInteractions: { enabled: false } },
      pkce: { required: () => true },
      interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
      findAccount: (_ctx, sub) => (accounts.includes(sub) ? { accountId: sub, claims: () => ({ sub }) } : undefined),
      // An application's own clients are not consented to.
      loadExistingGrant: async (ctx) => {
        const grant = new this.provider.Grant({ accountId: ctx.oidc.session.accountId, clientId: ctx.oidc.client.clientId })
        grant.addOIDCScope('openid')
        await grant.save()
        return grant
      },
      ttl: { Session: 3600, Interaction: 600, Grant: 600, IdToken: 600, AccessToken: 600 },
    })
    const protocol = this.provider.callback()
    this.server.on('request', (request, response) => {
      if (!request.url.startsWith('/interaction/')) return protocol(request, response)
      this.interact(request, response).catch((error) => response.writeHead(400).end(String(error)))
    })
  }

  /** Shows the form, and takes what it sends. */
  async interact(request, response) {
    const { params } = await this.provider.interactionDetails(request, response)
    if (request.method !== 'POST') {
      const hint = accounts.includes(params.login_hint) ? params.login_hint : ''
      return response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' }).end(form(hint))
    }
    const fields = new URLSearchParams(await text(request))
    const account = fields.get('account')
    if (fields.has('cancel') || !accounts.includes(account)) {
      return this.provider.interactionFinished(request, response, { error: 'access_denied', error_description: 'nobody signed in' })
    }
    const ts = Math.floor(Date.now() / 1000) - this.signedInAgo
    return this.provider.interactionFinished(request, response, { login: { accountId: account, ts } })
  }

  close() {
    this.server.closeAllConnections()
    return new Promise((resolve) => this.server.close(() => resolve(undefined)))
  }
}

const form = (account) => `<!doctype html>
<html lang="en"><title>Sign in</title><link rel="icon" href="data:,">
<h1>Sign in</h1>
<form method="post">
<label>Account <input name="account" value="${account}"></label>
<button>Sign in</button> <button name="cancel">Cancel</button>
</form></html>`

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const openid = await OpenID.open(process.argv.slice(2))
  console.log(JSON.stringify({ url: openid.url, clients, accounts }))
}
