// Passkeys in a real browser, with an authenticator of Chromium's own (WebAuthn
// 11, virtual authenticators).

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { sentTo, User } from '../lib/application.mjs'
import { launch } from '../lib/visitor.mjs'
import { Dev } from '../lib/world.mjs'

const timeout = 60_000
const [dev, browser] = await Promise.all([Dev.start(), launch()])
const pages = createServer((_request, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end(empty))
await once(pages.listen(0, '127.0.0.1'), 'listening')
after(() => {
  pages.closeAllConnections()
  pages.close()
  return Promise.all([browser.close(), dev.stop()])
})

const empty = '<!doctype html><title>Empty</title><link rel="icon" href="data:,">'
/** Where passkeys of dev live. */
const origin = dev.api.replace('127.0.0.1', 'localhost')
/** Where they do not, though browsers take it for the same relying party. */
const stranger = `http://localhost:${/** @type {import('node:net').AddressInfo} */ (pages.address()).port}`
const payment = { payee: 'Acme Ltd', amount: '10.50', currency: 'EUR' }

/** Somebody's browser, on an empty page of an origin, with an authenticator in it. */
class Person {
  static async arrive(name, { at = origin, verifies = true } = {}) {
    const context = await browser.newContext()
    const page = await context.newPage()
    if (at === origin) await page.route(`${at}/empty`, (route) => route.fulfill({ contentType: 'text/html', body: empty }))
    await page.goto(`${at}/empty`)
    const person = new Person(context, page, await context.newCDPSession(page))
    await person.chrome.send('WebAuthn.enable')
    await person.newAuthenticator(verifies)
    person.email = `${name}@passkeys.example`
    person.user = await User.join(dev, { email: person.email, name })
    return person
  }

  constructor(context, page, chrome) {
    this.context = context
    this.page = page
    this.chrome = chrome
  }

  /** Takes an authenticator in the place of the old one, if there is one. */
  async newAuthenticator(verifies) {
    if (this.authenticatorId) await this.chrome.send('WebAuthn.removeVirtualAuthenticator', { authenticatorId: this.authenticatorId })
    const options = { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: verifies, isUserVerified: verifies, automaticPresenceSimulation: true }
    this.authenticatorId = (await this.chrome.send('WebAuthn.addVirtualAuthenticator', { options: /** @type {any} */ (options) })).authenticatorId
  }

  async credentials() {
    return (await this.chrome.send('WebAuthn.getCredentials', { authenticatorId: this.authenticatorId })).credentials
  }

  /** Calls reconsent from the page, as its script would. @returns {Promise<{status: number, body: any}>} */
  call(path, body, headers = {}) {
    const request = { url: `${origin}${path}`, token: this.user.token(), body, headers }
    return this.page.evaluate(async ({ url, token, body, headers }) => {
      const response = await fetch(url, {
        method: body === undefined ? 'GET' : 'POST', body: body === undefined ? undefined : JSON.stringify(body),
        headers: { Authorization: `Bearer ${token}`, 'Content-Type': 'application/json', ...headers },
      })
      return { status: response.status, body: await response.json() }
    }, request)
  }

  async ask(path, body, { status = 200, headers = {} } = {}) {
    const answer = await this.call(path, body, headers)
    assert.equal(answer.status, status, `${path}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  /** What the browser makes of creation options. */
  create(options) {
    return this.page.evaluate(async (options) => {
      const made = await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
      return /** @type {any} */ (made).toJSON()
    }, options.publicKey ?? options)
  }

  /** What the browser answers to a challenge; how it went where it refuses. */
  get(options, changes = {}) {
    return this.page.evaluate(async (options) => {
      try {
        return /** @type {any} */ (await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) })).toJSON()
      } catch (error) {
        return { refused: error.name }
      }
    }, { ...(options.publicKey ?? options), ...changes })
  }

  /** Begins a passkey with a proof. @param {string} [proof] */
  async begin(proof) {
    return this.ask('/v1/factors/passkey', { label: 'Phone' }, { status: 201, headers: { 'Reverification-Proof': proof ?? (await this.user.proveByCode({ level: 'strict_mfa' }, this.email)) } })
  }

  /** Enrols a passkey, and uses it for the first time. */
  async enrol(proof) {
    const { id, status, options } = await this.begin(proof)
    assert.equal(status, 'unverified')
    const factor = await this.ask(`/v1/factors/${id}/verify`, { strategy: 'passkey', credential: await this.create(options) })
    assert.equal(factor.status, 'verified')
    return factor
  }

  /** A challenge for a level. */
  async challenge(body) {
    const { id } = await this.ask('/v1/reverifications', body, { status: 201 })
    const { options } = await this.ask(`/v1/reverifications/${id}/prepare`, { strategy: 'passkey' })
    return { id, options }
  }

  attempt(id, credential) {
    return this.call(`/v1/reverifications/${id}/attempt`, { strategy: 'passkey', credential })
  }

  /** Proves a level with the passkey. */
  async prove(body) {
    const { id, options } = await this.challenge(body)
    return this.attempt(id, await this.get(options))
  }

  leave() {
    return this.context.close()
  }
}

const claims = (proof) => JSON.parse(Buffer.from(proof.split('.')[1], 'base64url').toString())
const use = (person, operation, given) => dev.backend.ask('/v1/proofs/verify', { user_id: person.user.id, session_id: person.user.session, operation, ...given })

test('enrolled with a proof, told by mail, and good for a first factor', { timeout }, async () => {
  const ada = await Person.arrive('ada')
  const { code } = await ada.ask('/v1/factors/passkey', {}, { status: 403 })
  assert.equal(code, 'reverification_required')
  const factor = await ada.enrol()
  assert.deepEqual((await ada.ask('/v1/factors')).factors.map(({ id, type, status, label }) => ({ id, type, status, label })), [{ id: factor.id, type: 'passkey', status: 'verified', label: 'Phone' }])
  assert.match((await sentTo(dev, ada.email)).at(-1).subject, /passkey|way to prove|sign/i)
  assert.equal((await ada.credentials()).length, 1)

  const { status, body } = await ada.prove({ level: 'medium', operation: 'export' })
  assert.equal(status, 200)
  assert.equal(body.status, 'complete')
  const { fva, amr } = claims(body.proof)
  assert.deepEqual(fva, [0, -1], 'a first factor, whatever else it is')
  assert.ok(amr.includes('user') || amr.includes('hwk') || amr.includes('swk'), String(amr))
  assert.equal((await use(ada, 'export', { proof: body.proof })).valid, true)
  await ada.leave()
})

test('an answer is good once, and for one challenge', { timeout }, async () => {
  const bea = await Person.arrive('bea')
  await bea.enrol()
  const [first, second] = [await bea.challenge({ level: 'medium' }), await bea.challenge({ level: 'medium' })]
  const answer = await bea.get(first.options)
  const other = await bea.attempt(second.id, answer)
  assert.deepEqual([other.status, other.body.code], [422, 'factor_incorrect'])
  assert.equal((await bea.attempt(first.id, answer)).body.status, 'complete')
  const again = await bea.attempt(first.id, answer)
  assert.notEqual(again.status, 200)
  const third = await bea.challenge({ level: 'medium' })
  assert.equal((await bea.attempt(third.id, answer)).status, 422)
  assert.equal((await bea.attempt(third.id, await bea.get(third.options))).body.code, 'not_prepared', 'a wrong answer ends the challenge')
  await bea.leave()
})

test('sca by a passkey alone, where it has verified the person', { timeout }, async () => {
  const cleo = await Person.arrive('cleo')
  await cleo.enrol()
  const { body: { id }, status: began } = await cleo.call('/v1/reverifications', { level: 'sca', operation: 'pay', details: payment })
  assert.equal(began, 201)
  const { options } = await cleo.ask(`/v1/reverifications/${id}/prepare`, { strategy: 'passkey' })
  assert.equal((options.publicKey ?? options).userVerification, 'required')
  const { body, status } = await cleo.attempt(id, await cleo.get(options))
  assert.equal(status, 200, JSON.stringify(body))
  assert.equal(body.status, 'complete')
  const other = await dev.backend.ask('/v1/proofs/verify', { user_id: cleo.user.id, session_id: cleo.user.session, operation: 'pay', details: { ...payment, amount: '1050.00' }, proof: body.proof }, { status: 403 })
  assert.equal(other.code, 'proof_mismatch')
  assert.equal((await use(cleo, 'pay', { proof: body.proof, details: payment, level: 'sca' })).level, 'sca')
  await cleo.leave()
})

test('without verification of the person there is no sca', { timeout }, async () => {
  const dora = await Person.arrive('dora')
  await dora.enrol()
  const { authenticatorId } = dora
  await dora.chrome.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false })
  const plain = await dora.challenge({ level: 'medium' })
  const unverified = await dora.get(plain.options, { userVerification: 'discouraged' })
  assert.equal((await dora.attempt(plain.id, unverified)).body.status, 'complete', 'elsewhere it is only preferred')
  const { id, options } = await dora.challenge({ level: 'sca', operation: 'pay', details: payment })
  assert.deepEqual(await dora.get(options), { refused: 'NotAllowedError' })
  // A page that asks the browser for less gets an answer that does not count.
  const less = await dora.attempt(id, await dora.get(options, { userVerification: 'discouraged' }))
  assert.deepEqual([less.status, less.body.code], [422, 'factor_incorrect'])
  await dora.leave()
})

test('a passkey that cannot verify the person is a first factor, and none for sca', { timeout }, async () => {
  const dina = await Person.arrive('dina', { verifies: false })
  await dina.enrol()
  assert.equal((await dina.prove({ level: 'medium' })).body.status, 'complete')
  const { code } = await dina.ask('/v1/reverifications', { level: 'sca', operation: 'pay', details: payment }, { status: 422 })
  assert.equal(code, 'no_factor_available', 'codes and this passkey are one category')
  await dina.leave()
})

test('a counter that went back is a copy', { timeout }, async () => {
  const edna = await Person.arrive('edna')
  await edna.enrol()
  assert.equal((await edna.prove({ level: 'medium' })).body.status, 'complete')
  const [credential] = await edna.credentials()
  assert.ok(credential.signCount > 1)
  await edna.newAuthenticator(true)
  await edna.chrome.send('WebAuthn.addCredential', { authenticatorId: edna.authenticatorId, credential: { ...credential, signCount: 0 } })
  const { status, body } = await edna.prove({ level: 'medium' })
  assert.deepEqual([status, body.code], [422, 'factor_incorrect'])
  assert.match(body.detail, /copied/)
  await edna.leave()
})

test("an answer of another origin's page is refused", { timeout }, async () => {
  const faye = await Person.arrive('faye')
  await faye.enrol()
  const [credential] = await faye.credentials()
  const phisher = await Person.arrive('phisher', { at: stranger })
  await phisher.chrome.send('WebAuthn.addCredential', { authenticatorId: phisher.authenticatorId, credential: { ...credential, signCount: credential.signCount + 10 } })
  const { id, options } = await faye.challenge({ level: 'medium' })
  const answer = await phisher.get(options)
  assert.equal(answer.refused, undefined, 'to the browser it is the same site')
  const { status, body } = await faye.attempt(id, answer)
  assert.deepEqual([status, body.code], [422, 'factor_incorrect'])
  const made = await faye.begin()
  await phisher.newAuthenticator(true)
  const registered = await faye.call(`/v1/factors/${made.id}/verify`, { strategy: 'passkey', credential: await phisher.create(made.options) })
  assert.deepEqual([registered.status, registered.body.code], [422, 'factor_incorrect'])
  await Promise.all([faye.leave(), phisher.leave()])
})

test("somebody else's passkey is none of the user's", { timeout }, async () => {
  const [gina, hope] = [await Person.arrive('gina'), await Person.arrive('hope')]
  await gina.enrol()
  await hope.enrol()
  const { id, options } = await gina.challenge({ level: 'medium' })
  const { status, body } = await gina.attempt(id, await hope.get(options, { allowCredentials: [] }))
  assert.deepEqual([status, body.code], [422, 'factor_incorrect'])
  await Promise.all([gina.leave(), hope.leave()])
})

test('removed with a proof, it proves nothing more', { timeout }, async () => {
  const iris = await Person.arrive('iris')
  const { id } = await iris.enrol()
  const waiting = await iris.challenge({ level: 'medium' })
  const answer = await iris.get(waiting.options)
  const { body: { proof } } = await iris.prove({ level: 'strict_mfa' })
  assert.equal((await iris.user.call(`/v1/factors/${id}`, undefined, { method: 'DELETE', headers: { 'Reverification-Proof': proof } })).status, 200)
  const { body: { first_factors } } = await iris.call('/v1/reverifications', { level: 'medium' })
  assert.deepEqual(first_factors.map(({ strategy }) => strategy), ['email_code'])
  assert.notEqual((await iris.attempt(waiting.id, answer)).status, 200)
  await iris.leave()
})

test('pages of other origins may call from browsers too, with every header and without cookies', { timeout }, async () => {
  const jane = await Person.arrive('jane', { at: stranger })
  const said = await jane.page.evaluate(async ({ url, token }) => {
    const response = await fetch(url, { headers: {
      Authorization: `Bearer ${token}`, apikey: 'anon', 'x-device-id': 'd', 'x-request-id': 'r', 'x-sdk-version': 'v', 'x-client-info': 'i', 'reverification-proof': 'p',
    } })
    const names = ['RateLimit', 'RateLimit-Policy', 'X-RateLimit-Limit', 'X-RateLimit-Remaining', 'X-RateLimit-Reset', 'WWW-Authenticate']
    return { status: response.status, read: names.filter((name) => response.headers.get(name)), names, credentials: response.headers.get('Access-Control-Allow-Credentials') }
  }, { url: `${origin}/reauthenticate`, token: jane.user.token() })
  assert.deepEqual(said.read, said.names)
  assert.equal(said.status, 403)
  assert.equal(said.credentials, null)

  await jane.page.goto(stranger.replace('localhost', 'elsewhere.localhost'))
  const refused = await jane.page.evaluate(({ url, token }) => fetch(url, { headers: { Authorization: `Bearer ${token}` } }).then(() => 'read', () => 'refused'), { url: `${origin}/reauthenticate`, token: jane.user.token() })
  assert.equal(refused, 'refused', 'an origin that is not on the list')
  await jane.leave()
})
