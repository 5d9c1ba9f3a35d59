// Signing in again at a real OpenID provider, in a browser, and what package
// reauth/idp makes of it.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { after, afterEach, test } from 'node:test'
import { IDP } from '../lib/idp.mjs'
import { clients, OpenID } from '../lib/openid.mjs'
import { launch, Visitor } from '../lib/visitor.mjs'

const timeout = 60_000

// Where the browser comes back to.
const back = createServer((_request, response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<title>Back</title><link rel="icon" href="data:,"><h1>Back</h1>'))
await once(back.listen(0, '127.0.0.1'), 'listening')
const callback = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (back.address()).port}/callback`

const [openid, browser] = await Promise.all([OpenID.open([callback]), launch()])
const [idp, timeless] = clients.map(({ client_id, client_secret }) => new IDP({ issuer: openid.url, client_id, client_secret, redirect_uri: callback }))
afterEach(() => { openid.signedInAgo = 0 })
after(async () => {
  back.closeAllConnections()
  back.close()
  await Promise.all([browser.close(), openid.close(), idp.close(), timeless.close()])
})

const arrive = () => Visitor.arrive(browser, [openid.url, new URL(callback).origin])

/** Signs in as somebody, or presses cancel, and returns the query of the way back. */
async function answer(visitor, account) {
  if (account !== undefined) await visitor.page.getByLabel('Account').fill(account)
  await visitor.page.getByRole('button', { name: account === undefined ? 'Cancel' : 'Sign in' }).click()
  return returned(visitor)
}

async function returned(visitor) {
  await visitor.page.getByRole('heading', { name: 'Back' }).waitFor()
  return new URL(visitor.page.url()).search.slice(1)
}

/** What somebody in the browser can make of the address. */
function without(url, ...names) {
  const u = new URL(url)
  for (const name of names) {
    assert.ok(u.searchParams.has(name), name)
    u.searchParams.delete(name)
  }
  return u.href
}

/** Leaves a session of a sign-in an hour ago in the browser. */
async function signedInBefore(visitor, account) {
  openid.signedInAgo = 3600
  const { url } = await idp.start(account)
  await visitor.page.goto(without(url, 'prompt', 'max_age'))
  await answer(visitor, account)
  openid.signedInAgo = 0
}

test('who signs in as the user is taken, once', { timeout }, async () => {
  const visitor = await arrive()
  const before = Math.floor(Date.now() / 1000)
  const { url, trip } = await idp.start('ada')
  await visitor.page.goto(url)
  assert.equal(await visitor.page.getByLabel('Account').inputValue(), '', 'the address names nobody')
  const query = await answer(visitor, 'ada')
  assert.equal(new URLSearchParams(query).get('iss'), openid.url)
  const result = await idp.finish(trip, query, 'ada')
  assert.equal(result.subject, 'ada', result.why)
  assert.ok(result.auth_time >= before && result.auth_time <= before + 60, String(result.auth_time))
  assert.equal((await idp.finish(trip, query, 'ada')).error, 'refused', 'a code is good once')
  await visitor.leave()
})

test('somebody else is not the user', { timeout }, async () => {
  const visitor = await arrive()
  const { url, trip } = await idp.start('ada')
  await visitor.page.goto(url)
  const result = await idp.finish(trip, await answer(visitor, 'bob'), 'ada')
  assert.equal(result.error, 'identity_mismatch', result.why)
  await visitor.leave()
})

test('who cancels has denied it', { timeout }, async () => {
  const visitor = await arrive()
  const { url, trip } = await idp.start('ada')
  await visitor.page.goto(url)
  const result = await idp.finish(trip, await answer(visitor), 'ada')
  assert.equal(result.error, 'denied', result.why)
  await visitor.leave()
})

test('an answer belongs to one trip', { timeout }, async () => {
  const visitor = await arrive()
  const [mine, other] = [await idp.start('ada'), await idp.start('ada')]
  await visitor.page.goto(other.url)
  const query = await answer(visitor, 'ada')
  assert.equal((await idp.finish(mine.trip, query, 'ada')).error, 'state')
  const forged = new URLSearchParams(query)
  forged.set('state', new URL(mine.url).searchParams.get('state'))
  assert.equal((await idp.finish(mine.trip, forged.toString(), 'ada')).error, 'refused', 'the code is bound to the other verifier')
  await visitor.leave()
})

for (const stripped of ['nothing', 'prompt', 'max_age']) {
  test(`who has a session is asked all the same, with ${stripped} stripped from the address`, { timeout }, async () => {
    const visitor = await arrive()
    await signedInBefore(visitor, 'ada')
    const { url, trip } = await idp.start('ada')
    await visitor.page.goto(stripped === 'nothing' ? url : without(url, stripped))
    const result = await idp.finish(trip, await answer(visitor, 'ada'), 'ada')
    assert.equal(result.subject, 'ada', result.why)
    await visitor.leave()
  })
}

test('who strips the address of what it asks for proves nothing', { timeout }, async () => {
  const visitor = await arrive()
  await signedInBefore(visitor, 'ada')
  for (const [client, why] of /** @type {const} */ ([[idp, /auth_time lies before the start/], [timeless, /auth_time is missing/]])) {
    const { url, trip } = await client.start('ada')
    await visitor.page.goto(without(url, 'prompt', 'max_age'))
    const result = await client.finish(trip, await returned(visitor), 'ada')
    assert.equal(result.error, 'not_fresh', result.why)
    assert.match(result.why, why)
  }
  await visitor.leave()
})

test('a client that the provider does not know cannot ask', { timeout }, async () => {
  const visitor = await arrive()
  const forgetful = new IDP({ ...idp.provider, client_secret: 'another' })
  const { url, trip } = await forgetful.start('ada')
  await visitor.page.goto(url)
  const result = await forgetful.finish(trip, await answer(visitor, 'ada'), 'ada')
  assert.equal(result.error, 'unavailable', result.why)
  await forgetful.close()
  await visitor.leave()
})
