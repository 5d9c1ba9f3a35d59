// The strategy idp through the whole service: a person is sent to the
// application's own OpenID provider, a real one, and comes back.

import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { User } from '../lib/application.mjs'
import { call } from '../lib/backend.mjs'
import { inspect } from '../lib/inspect.mjs'
import { clients, OpenID } from '../lib/openid.mjs'
import { launch, Visitor } from '../lib/visitor.mjs'
import { Dev } from '../lib/world.mjs'
import { pages } from '../pages.mjs'

const timeout = 60_000
const openid = await OpenID.listen()
const [{ client_id, client_secret }] = clients
const [dev, browser] = await Promise.all([Dev.start({ openid: { issuer: openid.url, client_id, client_secret } }), launch()])
openid.serve([`${dev.api}/reauth/return`])

// Where the application has people go on.
const home = createServer((_request, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html><html lang="en"><title>Home</title><link rel="icon" href="data:,"><h1>Home</h1>'))
await once(home.listen(0, '127.0.0.1'), 'listening')
const returnTo = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (home.address()).port}/settings?tab=2`
after(async () => {
  home.closeAllConnections()
  home.close()
  await Promise.all([browser.close(), dev.stop()])
  await openid.close()
})

const arrive = () => Visitor.arrive(browser, [dev.api, openid.url, new URL(returnTo).origin])

/** Ada, signed in anew, on her way to a level. */
async function began(return_to) {
  const ada = new User(dev, 'ada', `session-${randomUUID()}`)
  const { id, first_factors } = await ada.begin({ level: 'medium', operation: 'export' })
  assert.ok(first_factors.some(({ strategy }) => strategy === 'idp'))
  const { url } = await ada.ask(`/v1/reverifications/${id}/prepare`, { strategy: 'idp', ...(return_to && { return_to }) })
  return { ada, id, url, look: () => ada.ask(`/v1/reverifications/${id}`) }
}

/** Signs in at the provider, or presses cancel. */
async function signIn(visitor, account) {
  await visitor.page.getByRole('heading', { name: 'Sign in' }).waitFor()
  if (account) await visitor.page.getByLabel('Account').fill(account)
  await visitor.page.getByRole('button', { name: account ? 'Sign in' : 'Cancel' }).click()
}

/** Signs in, and stops the browser at the door; returns the address there. */
async function stopped(visitor, account) {
  // Playwright's own routes are not asked about redirects.
  const chrome = await visitor.context.newCDPSession(visitor.page)
  await chrome.send('Fetch.enable', { patterns: [{ urlPattern: `${dev.api}/reauth/return*` }] })
  const back = new Promise((resolve) => chrome.once('Fetch.requestPaused', async ({ requestId, request }) => {
    await chrome.send('Fetch.fulfillRequest', { requestId, responseCode: 200, body: Buffer.from('<!doctype html><link rel="icon" href="data:,"><h1>Stopped</h1>').toString('base64') })
    resolve(request.url)
  }))
  await signIn(visitor, account)
  await visitor.page.getByRole('heading', { name: 'Stopped' }).waitFor()
  await chrome.detach()
  return back
}

/** Nothing was proven. */
async function unproven({ ada, look }) {
  const { status, proof } = await look()
  assert.deepEqual([status, proof], ['needs_first_factor', undefined])
  assert.equal((await ada.call('/reauthenticate')).status, 403)
}

test('who signs in as the user has proven it, and the backend can use that', { timeout }, async () => {
  const { ada, url, look } = await began()
  const visitor = await arrive()
  await visitor.open(url)
  await signIn(visitor, 'ada')
  await visitor.sees(pages.identityProven)
  await inspect(visitor.page, 'identity-proven')
  await visitor.leave()
  const { status, proof } = await look()
  assert.equal(status, 'complete')
  const use = () => call(`${dev.api}/v1/proofs/verify`, { key: dev.backend.key, body: { proof, user_id: ada.id, session_id: ada.session, operation: 'export' } })
  assert.equal((await use()).body.valid, true)
  assert.equal((await use()).status, 409)
  assert.equal((await ada.call('/reauthenticate')).status, 200)
  assert.equal((await ada.elsewhere().call('/reauthenticate')).status, 403)
})

test('somebody else signs in: told so, and nothing is proven', { timeout }, async () => {
  const trip = await began()
  const visitor = await arrive()
  await visitor.open(trip.url)
  await signIn(visitor, 'bob')
  await visitor.sees(pages.identityStranger)
  await inspect(visitor.page, 'identity-stranger')
  await visitor.leave()
  await unproven(trip)
  const { audit } = await dev.backend.ask('/v1/audit?user_id=ada&limit=5')
  assert.ok(audit.some(({ action, reason }) => action === 'factor.failed' && reason === 'identity_mismatch'), JSON.stringify(audit))
})

test('who cancels is told that nothing has changed, and can try again', { timeout }, async () => {
  const trip = await began()
  const visitor = await arrive()
  await visitor.open(trip.url)
  await signIn(visitor)
  await visitor.sees(pages.identityCancelled)
  await inspect(visitor.page, 'identity-cancelled')
  await unproven(trip)
  const { url } = await trip.ada.ask(`/v1/reverifications/${trip.id}/prepare`, { strategy: 'idp' })
  await visitor.open(url)
  await signIn(visitor, 'ada')
  await visitor.sees(pages.identityProven)
  await visitor.leave()
  assert.equal((await trip.look()).status, 'complete')
})

test('another browser brings the answer: refused, and the right one may still', { timeout }, async () => {
  const trip = await began()
  const [visitor, thief] = [await arrive(), await arrive()]
  await visitor.open(trip.url)
  const back = await stopped(visitor, 'ada')
  await thief.open(back)
  await thief.sees(pages.identityElsewhere)
  await inspect(thief.page, 'identity-elsewhere')
  await unproven(trip)
  await visitor.open(back)
  await visitor.sees(pages.identityProven)
  await Promise.all([visitor.leave(), thief.leave()])
})

test('an address is good once, on the way there and on the way back', { timeout }, async () => {
  const trip = await began()
  const visitor = await arrive()
  await visitor.open(trip.url)
  const back = await stopped(visitor, 'ada')
  await visitor.open(trip.url)
  await visitor.sees(pages.identityStale)
  await visitor.open(back)
  await visitor.sees(pages.identityProven)
  await visitor.open(back)
  await visitor.sees(pages.identityStale)
  await inspect(visitor.page, 'identity-stale')
  await visitor.leave()
  assert.equal((await trip.look()).status, 'complete', 'the second does not undo the first')
})

test('the cookie is of this host, and hidden from scripts', { timeout }, async () => {
  const { url } = await began()
  const visitor = await arrive()
  await visitor.open(url)
  const cookie = (await visitor.context.cookies(dev.api)).find(({ name }) => name.startsWith('__Host-'))
  assert.ok(cookie)
  assert.deepEqual([cookie.httpOnly, cookie.secure, cookie.sameSite, cookie.path], [true, true, 'Lax', '/'])
  await signIn(visitor, 'ada')
  await visitor.sees(pages.identityProven)
  assert.deepEqual((await visitor.context.cookies(dev.api)).filter(({ name }) => name.startsWith('__Host-')), [], 'gone')
  await visitor.leave()
})

test('the browser goes on to the application, and is told how it went; the proof stays', { timeout }, async () => {
  for (const [account, status, error] of [['ada', 'complete', null], ['bob', 'failed', 'identity_mismatch'], [undefined, 'failed', 'identity_denied']]) {
    const trip = await began(returnTo)
    const visitor = await arrive()
    await visitor.open(trip.url)
    await signIn(visitor, account)
    await visitor.page.getByRole('heading', { name: 'Home' }).waitFor()
    const at = new URL(visitor.page.url())
    assert.equal(at.origin + at.pathname, returnTo.split('?')[0])
    const { tab, reverification_id, ...said } = Object.fromEntries(at.searchParams)
    assert.deepEqual([tab, reverification_id, said], ['2', trip.id, { status, ...(error && { error }) }])
    await visitor.leave()
    assert.equal((await trip.look()).status, status === 'complete' ? 'complete' : 'needs_first_factor')
  }
})

test('nobody is sent on to where the application has not said', { timeout }, async () => {
  const { ada, id } = await began()
  const { code } = await ada.ask(`/v1/reverifications/${id}/prepare`, { strategy: 'idp', return_to: 'https://evil.example/' }, { status: 400 })
  assert.equal(code, 'return_to_not_allowed')
})

test('who signed in there an hour ago is asked again', { timeout }, async () => {
  const visitor = await arrive()
  openid.signedInAgo = 3600
  const first = await began()
  await visitor.open(first.url)
  await signIn(visitor, 'ada')
  await visitor.page.getByRole('main').waitFor()
  openid.signedInAgo = 0
  await unproven(first) // the provider says itself that it was too long ago
  const second = await began()
  await visitor.open(second.url)
  await signIn(visitor, 'ada')
  await visitor.sees(pages.identityProven)
  await visitor.leave()
})
