// An application whose users prove themselves again: it signs them in, has
// routes of its own that it guards with /v1/proofs/verify, and passes all else
// on to reconsent, as a gateway in front of both would.

import assert from 'node:assert/strict'
import { createHmac, randomUUID, timingSafeEqual } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { buffer } from 'node:stream/consumers'
import { call } from './backend.mjs'

/** @typedef {import('./world.mjs').Dev} Dev */
/** @typedef {{method: string, path: string, query: URLSearchParams, headers: import('node:http').IncomingHttpHeaders, text: string}} Request */
/** @typedef {Request & {body: any, user: User}} Asked */
/** @typedef {{status: number, body: unknown, headers?: Record<string, string>}} Reply */
/** @typedef {(asked: Asked) => Promise<Reply>} Route */

const encode = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** Somebody who is signed in. */
export class User {
  /**
   * @param {Dev} dev
   * @param {string} id
   * @param {string} session
   */
  constructor(dev, id, session) {
    this.dev = dev
    this.id = id
    this.session = session
  }

  /**
   * Somebody new, of whom the application knows so much.
   * @param {Dev} dev
   * @param {{email?: string, phone?: string, name?: string, password_hash?: string}} contact
   */
  static async join(dev, contact) {
    const user = new User(dev, `user-${randomUUID()}`, `session-${randomUUID()}`)
    await dev.backend.ask(`/v1/users/${user.id}`, contact, { method: 'PUT' })
    return user
  }

  /** The same person, signed in somewhere else. */
  elsewhere() {
    return new User(this.dev, this.id, `session-${randomUUID()}`)
  }

  /** @param {Record<string, unknown>} [claims] beside, or in the place of, what such a token says */
  token(claims = {}) {
    const now = Math.floor(Date.now() / 1000)
    const text = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: this.id, sid: this.session, iat: now, exp: now + 3600, ...claims })}`
    return `${text}.${createHmac('sha256', this.dev.secret).update(text).digest('base64url')}`
  }

  /**
   * Calls reconsent as a page of the application would.
   * @param {string} path
   * @param {unknown} [body]
   * @param {{method?: string, headers?: Record<string, string>}} [options]
   */
  async call(path, body, { method, headers } = {}) {
    const response = await fetch(this.dev.api + path, {
      method: method ?? (body === undefined ? 'GET' : 'POST'),
      headers: { Authorization: `Bearer ${this.token()}`, ...(body !== undefined && { 'Content-Type': 'application/json' }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(60_000),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, body: text ? JSON.parse(text) : null }
  }

  /** The same, where there is only one good answer. */
  async ask(path, body, { status = 200, ...options } = {}) {
    const answer = await this.call(path, body, options)
    assert.equal(answer.status, status, `${path}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  /**
   * Begins a reverification.
   * @param {Record<string, unknown>} body
   */
  begin(body) {
    return this.ask('/v1/reverifications', body, { status: 201 })
  }

  /** Proves what a code to the user's address proves. @returns {Promise<string>} the proof */
  async proveByCode(body, address, strategy = 'email_code') {
    const { id } = await this.begin(body)
    await this.ask(`/v1/reverifications/${id}/prepare`, { strategy })
    const { status, proof } = await this.ask(`/v1/reverifications/${id}/attempt`, { strategy, code: await codeTo(this.dev, address) })
    assert.equal(status, 'complete')
    return proof
  }
}

/** Everything that was sent to an address, newest last. @param {Dev} dev @param {string} address */
export async function sentTo(dev, address) {
  const { messages } = await dev.bank.control(address.startsWith('+') ? 'sms' : 'mail')
  return messages.filter(({ to }) => to === address)
}

/** The code that was sent to an address last. @param {Dev} dev @param {string} address @returns {Promise<string>} */
export async function codeTo(dev, address) {
  const { text } = (await sentTo(dev, address)).at(-1) ?? { text: 'nothing was sent' }
  const code = /\b\d{6}\b/.exec(text)?.[0]
  assert.ok(code, text)
  return code
}

/** Another code than this one. @param {string} code */
export const not = (code) => code.replace(/^./, (digit) => String((Number(digit) + 1) % 10))

export class Application {
  /**
   * @param {Dev} dev
   * @param {Record<string, Route>} routes by method and path
   */
  static async open(dev, routes) {
    const application = new Application(dev, routes)
    await once(application.server.listen(0, '127.0.0.1'), 'listening')
    return application
  }

  constructor(dev, routes) {
    this.dev = dev
    this.routes = routes
    /** @type {(Request & {status: number})[]} what came, in the order in which it was answered */
    this.seen = []
    this.server = createServer((request, response) => {
      this.answer(request).then(
        ({ status, headers, body }) => response.writeHead(status, headers).end(body),
        (error) => response.writeHead(500, { 'Content-Type': 'application/json' }).end(JSON.stringify({ message: String(error) })),
      )
    })
  }

  get port() {
    return /** @type {import('node:net').AddressInfo} */ (this.server.address()).port
  }

  get url() {
    return `http://127.0.0.1:${this.port}`
  }

  /** Calls that came to a route, of the application's or of reconsent's. @param {string} route */
  calls(route) {
    return this.seen.filter(({ method, path }) => `${method} ${path}` === route)
  }

  /** @param {import('node:http').IncomingMessage} message */
  async answer(message) {
    const { pathname, searchParams } = new URL(message.url ?? '/', this.url)
    const request = { method: message.method ?? '', path: pathname, query: searchParams, headers: message.headers, text: (await buffer(message)).toString() }
    const route = this.routes[`${request.method} ${request.path}`]
    const answer = route ? await this.own(route, request) : await this.pass(message.url ?? '/', request)
    this.seen.push({ ...request, status: answer.status })
    return answer
  }

  /** @param {Route} route @param {Request} request */
  async own(route, request) {
    const user = this.caller(request)
    const { status, body, headers } = user
      ? await route({ ...request, body: request.text ? JSON.parse(request.text) : undefined, user })
      : { status: 401, body: { error: 'unauthenticated', error_code: 16, error_description: 'sign in' } }
    return { status, headers: { 'Content-Type': 'application/json', ...headers }, body: JSON.stringify(body) }
  }

  /** Who asks, by the token that the application itself has signed. @param {Request} request */
  caller({ headers }) {
    const [, head, claims, signature] = /^Bearer ([\w-]+)\.([\w-]+)\.([\w-]+)$/.exec(headers.authorization ?? '') ?? []
    const right = createHmac('sha256', this.dev.secret).update(`${head}.${claims}`).digest()
    const given = Buffer.from(signature ?? '', 'base64url')
    if (given.length !== right.length || !timingSafeEqual(given, right)) return undefined
    const { sub, sid } = JSON.parse(Buffer.from(claims, 'base64url').toString())
    return new User(this.dev, sub, sid)
  }

  /** @param {string} url @param {Request} request */
  async pass(url, { method, headers: { host, connection, 'content-length': _, ...headers }, text }) {
    const answer = await fetch(this.dev.api + url, {
      method, headers: /** @type {any} */ (headers), body: text || undefined, redirect: 'manual', signal: AbortSignal.timeout(60_000),
    })
    const passed = [...answer.headers].filter(([name]) => !['connection', 'content-length', 'transfer-encoding'].includes(name))
    return { status: answer.status, headers: Object.fromEntries(passed), body: Buffer.from(await answer.arrayBuffer()) }
  }

  /**
   * Uses up what the user brings for an operation.
   * @param {User} user
   * @param {string} operation
   * @param {{proof?: string, code?: string, sudo_token?: string, level?: string, details?: unknown}} given
   * @returns {Promise<import('./backend.mjs').Answer>}
   */
  use(user, operation, given) {
    return call(`${this.dev.api}/v1/proofs/verify`, { key: this.dev.backend.key, body: { user_id: user.id, session_id: user.session, operation, ...given } })
  }

  close() {
    this.server.closeAllConnections()
    return new Promise((resolve) => this.server.close(resolve))
  }
}
