// Supabase's own client, unmodified: reauthenticate() has a code sent, and the
// application's PUT /user takes it as nonce.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { GoTrueClient } from '@supabase/auth-js'
import { Application, codeTo, not, sentTo, User } from '../lib/application.mjs'
import { Dev } from '../lib/world.mjs'

const timeout = 60_000
const version = 'x-supabase-api-version'
const dev = await Dev.start()
const application = await Application.open(dev, {
  'GET /user': async ({ user }) => ({ status: 200, body: { id: user.id } }),
  'PUT /user': async ({ user, body, headers }) => {
    const used = await application.use(user, 'change_password', { code: body.nonce })
    const echo = { [version]: String(headers[version]) }
    return used.status === 200 ? { status: 200, body: { id: user.id }, headers: echo } : { status: used.status, body: used.body, headers: echo }
  },
})
after(() => Promise.all([application.close(), dev.stop()]))

/**
 * The client of somebody who is signed in.
 * @param {User} user
 * @param {string} [path] below which the client finds its calls
 */
async function signedIn(user, path = '') {
  const answers = /** @type {Response[]} */ ([])
  const client = new GoTrueClient({
    url: application.url + path, headers: { apikey: 'anon' }, autoRefreshToken: false, persistSession: false, storageKey: user.session,
    fetch: async (...request) => {
      const answer = await fetch(...request)
      answers.push(answer.clone())
      return answer
    },
  })
  const { error } = await client.setSession({ access_token: user.token(), refresh_token: 'not used' })
  assert.equal(error, null)
  return { client, last: () => /** @type {Response} */ (answers.at(-1)) }
}

test('a code comes by mail, and is good once as nonce', { timeout }, async () => {
  const email = 'grace@supabase.example'
  const user = await User.join(dev, { email })
  const { client, last } = await signedIn(user)

  assert.deepEqual(await client.reauthenticate(), { data: { user: null, session: null }, error: null })
  assert.equal(last().headers.get(version), '2024-01-01', 'echoed')
  const nonce = await codeTo(dev, email)

  const wrong = await client.updateUser({ password: 'another-one-1', nonce: not(nonce) })
  assert.equal(wrong.error?.status, 422)
  assert.equal(wrong.error?.code, 'factor_incorrect')
  assert.match(wrong.error?.message ?? '', /not the one that was sent/)
  const { error, data } = await client.updateUser({ password: 'another-one-1', nonce })
  assert.equal(error, null)
  assert.equal(data.user?.id, user.id)
  const again = await client.updateUser({ password: 'another-one-2', nonce })
  assert.equal(again.error?.status, 409)
  assert.equal(again.error?.code, 'proof_used')
  assert.equal(application.calls('PUT /user').length, 3)
})

test('who has no e-mail gets the code by SMS', { timeout }, async () => {
  const phone = '+447911123456'
  const user = await User.join(dev, { phone })
  const { client, last } = await signedIn(user)
  assert.equal((await client.reauthenticate()).error, null)
  const body = await last().json()
  assert.match(body.message_id, /./)
  assert.deepEqual(Object.keys(body), ['message_id'])
  const { error } = await client.updateUser({ password: 'another-one-1', nonce: await codeTo(dev, phone) })
  assert.equal(error, null)
})

test('the client finds the call below /auth/v1 too', { timeout }, async () => {
  const email = 'hedy@supabase.example'
  const user = await User.join(dev, { email })
  application.routes['GET /auth/v1/user'] = application.routes['GET /user']
  application.routes['PUT /auth/v1/user'] = application.routes['PUT /user']
  const { client, last } = await signedIn(user, '/auth/v1')
  assert.equal((await client.reauthenticate()).error, null)
  assert.equal(last().headers.get(version), '2024-01-01')
  assert.equal(application.calls('GET /auth/v1/reauthenticate').length, 1)
  const { error } = await client.updateUser({ password: 'another-one-1', nonce: await codeTo(dev, email) })
  assert.equal(error, null)
})

test('a code belongs to one session and one person', { timeout }, async () => {
  const email = 'ida@supabase.example'
  const user = await User.join(dev, { email })
  const mine = await signedIn(user)
  assert.equal((await mine.client.reauthenticate()).error, null)
  const nonce = await codeTo(dev, email)
  for (const thief of [user.elsewhere(), await User.join(dev, { email: 'mallory@supabase.example' })]) {
    const { client } = await signedIn(thief)
    const { error } = await client.updateUser({ password: 'another-one-1', nonce })
    assert.equal(error?.status, 422)
    assert.equal(error?.code, 'code_expired')
  }
  assert.equal((await mine.client.updateUser({ password: 'another-one-1', nonce })).error, null, 'none of that has used it up')
})

test('a moment later there is another code, and the first is worthless', { timeout }, async () => {
  const email = 'joan@supabase.example'
  const user = await User.join(dev, { email })
  const { client, last } = await signedIn(user)
  assert.equal((await client.reauthenticate()).error, null)
  const first = await codeTo(dev, email)

  const { error } = await client.reauthenticate()
  assert.equal(error?.status, 429)
  assert.equal(error?.code, 'send_limited')
  assert.match(error?.message ?? '', /moment ago/)
  assert.equal(last().headers.get(version), '2024-01-01', 'errors have it too')
  const wait = Number(last().headers.get('Retry-After'))
  assert.ok(Number.isInteger(wait) && wait > 0 && wait <= 30, String(wait))
  assert.equal((await sentTo(dev, email)).length, 1)

  await dev.bank.control('clock', { advance: `${wait}s` })
  assert.equal((await client.reauthenticate()).error, null)
  assert.equal((await sentTo(dev, email)).length, 2)
  const second = await codeTo(dev, email)
  if (first !== second) assert.equal((await client.updateUser({ password: 'another-one-1', nonce: first })).error?.code, 'factor_incorrect')
  assert.equal((await client.updateUser({ password: 'another-one-1', nonce: second })).error, null)
})

test('ten calls in five minutes', { timeout }, async () => {
  const user = await User.join(dev, { email: 'katherine@supabase.example' })
  const { client, last } = await signedIn(user)
  for (let calls = 0; calls < 10; calls++) await client.reauthenticate()
  assert.equal(last().headers.get('X-RateLimit-Remaining'), '0')
  const { error } = await client.reauthenticate()
  assert.equal(error?.name, 'AuthApiError')
  assert.equal(error?.status, 429)
  assert.equal(error?.code, 'rate_limited')
  assert.match(error?.message ?? '', /10 times in 5 minutes/)
  const wait = Number(last().headers.get('Retry-After'))
  assert.ok(wait > 240 && wait <= 300, String(wait))
  assert.equal((await sentTo(dev, 'katherine@supabase.example')).length, 1)
})

test('who cannot be sent a code is told so', { timeout }, async () => {
  const { client } = await signedIn(await User.join(dev, { name: 'Lise' }))
  const { error } = await client.reauthenticate()
  assert.equal(error?.status, 422)
  assert.equal(error?.code, 'address_missing')
})

test('a dead token is 401 and keeps the session, a missing one asks nobody', { timeout }, async () => {
  const user = await User.join(dev, { email: 'mary@supabase.example' })
  const { client, last } = await signedIn(user)
  await dev.backend.ask(`/v1/users/${user.id}`, undefined, { method: 'DELETE', status: 204 })
  const { error } = await client.reauthenticate()
  assert.equal(error?.status, 401)
  assert.equal(error?.code, 'user_unknown')
  assert.equal(last().headers.get(version), '2024-01-01')
  assert.equal((await client.getSession()).data.session?.access_token.length > 0, true)

  const nobody = new GoTrueClient({ url: application.url, autoRefreshToken: false, persistSession: false, storageKey: 'nobody' })
  assert.equal((await nobody.reauthenticate()).error?.name, 'AuthSessionMissingError')
})
