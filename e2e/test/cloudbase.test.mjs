// CloudBase's own clients, unmodified: a code or a password becomes a sudo
// token, and the application's own routes take that.

import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { generateAuthInstance } from '@cloudbase/auth'
import { Application, codeTo, not, sentTo, User } from '../lib/application.mjs'
import { Dev } from '../lib/world.mjs'

const timeout = 60_000
const dev = await Dev.start()
const password = 'correct horse'
/** The same, as an application imports it. */
const password_hash = '$2a$04$Q8Fx/QuSMB/peEmt8XltmOWBS9Qhch69YmpjsPEdksEhImkGW9XlG'

/** What the application answers after it has used up what the user brought. */
const spent = (used) => used.status === 200
  ? { status: 200, body: {} }
  : { status: used.status, body: { error: 'permission_denied', error_code: 7, error_description: used.body.code } }

const application = await Application.open(dev, {
  'POST /auth/v1/token': async ({ body, user }) => ({ status: 200, body: { token_type: 'Bearer', access_token: body.access_token, refresh_token: body.refresh_token, expires_in: 3600, sub: user.id } }),
  'GET /auth/v1/user/me': async ({ user }) => {
    const { email, phone } = await dev.backend.ask(`/v1/users/${user.id}`)
    return { status: 200, body: { sub: user.id, user_id: user.id, ...(email && { email }), ...(phone && { phone_number: phone }) } }
  },
  'PATCH /auth/v1/user/password': async ({ user, body }) =>
    spent(await application.use(user, 'change_password', body.verify_code ? { code: body.verify_code } : { sudo_token: body.sudo_token })),
  'DELETE /auth/v1/user/me': async ({ user, query }) => spent(await application.use(user, 'delete_account', { sudo_token: query.get('sudo_token') ?? '' })),
})
after(() => Promise.all([application.close(), dev.stop()]))

/** What the client keeps between calls. */
class Storage extends Map {
  getItem = async (key) => this.get(key) ?? null
  setItem = async (key, value) => void this.set(key, value)
  removeItem = async (key) => void this.delete(key)
  getItemSync = (key) => this.get(key) ?? null
  setItemSync = (key, value) => void this.set(key, value)
  removeItemSync = (key) => void this.delete(key)
}

/** The vendor's client, of nobody yet. */
function client() {
  const storage = new Storage()
  const platform = { runtime: 'node', adapter: { primaryStorage: 'none', root: {} } }
  const { authInstance: auth, oauthInstance: oauth } = generateAuthInstance(
    { storage, persistence: 'none' },
    { env: 'env-1', clientId: 'env-1', apiOrigin: application.url, platform, app: { config: {} } },
  )
  return { auth, api: oauth.authApi, oauth }
}

/** The client of somebody who is signed in. @param {User} user */
async function signedIn(user, token = user.token()) {
  const it = client()
  await it.oauth.oauth2client.setCredentials({ token_type: 'Bearer', access_token: token, refresh_token: 'not used', expires_in: 3600, scope: '' })
  await it.auth.createLoginState()
  return it
}

/** Whether the client still holds a login. */
const holds = ({ api }) => api.hasLoginState()

/** What a call is refused with. @param {Promise<unknown>} call */
const fault = (call) => call.then((value) => assert.fail(JSON.stringify(value)), ({ error, error_code, error_description }) => ({ error, error_code, error_description }))

const lastOf = (route) => application.calls(route).at(-1) ?? assert.fail(`no ${route}`)

test('reauthenticate, and a new password by the code of the mail', { timeout }, async () => {
  const email = 'ada@cloudbase.example'
  const user = await User.join(dev, { email })
  const { auth } = await signedIn(user)
  const { data, error } = await auth.reauthenticate()
  assert.equal(error, null)
  const asked = lastOf('POST /auth/v1/verification')
  assert.match(asked.headers['content-type'] ?? '', /^text\/plain/)
  assert.deepEqual(JSON.parse(asked.text), { email })
  assert.match(String(asked.headers['x-device-id']), /./)

  const nonce = await codeTo(dev, email)
  const wrong = await data.updateUser({ nonce: not(nonce), password: 'N3w!pass' })
  assert.equal(wrong.error?.status ?? wrong.error?.error, 'invalid_verification_code')
  const done = await data.updateUser({ nonce, password: 'N3w!pass' })
  assert.equal(done.error, null, JSON.stringify(done.error))
  assert.deepEqual(Object.keys(JSON.parse(lastOf('PATCH /auth/v1/user/password').text)).sort(), ['new_password', 'sudo_token'])
  assert.equal(lastOf('POST /auth/v1/verification/verify').query.get('client_id'), 'env-1')
  assert.equal(lastOf('POST /auth/v1/verification/verify').headers.authorization, undefined)

  const again = await data.updateUser({ nonce, password: 'N3w!pass' })
  assert.equal(again.error?.status ?? again.error?.error, 'invalid_verification_code')
  assert.equal(application.calls('PATCH /auth/v1/user/password').length, 1)
})

test('who has no e-mail gets the code by SMS, to the number as that client writes it', { timeout }, async () => {
  const phone = '+8613800138000'
  const { auth } = await signedIn(await User.join(dev, { phone }))
  const { data, error } = await auth.reauthenticate()
  assert.equal(error, null, JSON.stringify(error))
  assert.deepEqual(JSON.parse(lastOf('POST /auth/v1/verification').text), { phone_number: '+86 13800138000' })
  const done = await data.updateUser({ nonce: await codeTo(dev, phone), password: 'N3w!pass' })
  assert.equal(done.error, null, JSON.stringify(done.error))
})

test('the chain step by step, each good once', { timeout }, async () => {
  const email = 'barbara@cloudbase.example'
  const user = await User.join(dev, { email })
  const { api } = await signedIn(user)
  const sent = await api.getVerification({ email, target: 'CUR_USER', usage: 'reauthentication' })
  assert.equal(sent.expires_in, 300)
  const passed = await api.verify({ verification_id: sent.verification_id, verification_code: await codeTo(dev, email) })
  assert.equal(passed.expires_in, 600)
  const sudo = await api.sudo({ verification_token: passed.verification_token })
  assert.equal(sudo.expires_in, 900)
  assert.deepEqual(await fault(api.sudo({ verification_token: passed.verification_token })).then(({ error, error_code }) => ({ error, error_code })), { error: 'permission_denied', error_code: 7 })
  assert.deepEqual(await api.setPassword({ new_password: 'N3w!pass', sudo_token: sudo.sudo_token }), {})
  assert.deepEqual(await fault(api.setPassword({ new_password: 'N3w!pass', sudo_token: sudo.sudo_token })), { error: 'permission_denied', error_code: 7, error_description: 'proof_used' })
})

test('sudo by password, and the account is gone', { timeout }, async () => {
  const user = await User.join(dev, { email: 'carol@cloudbase.example', password_hash })
  const { auth, api } = await signedIn(user)
  const wrong = await fault(api.sudo({ password: 'wrong horse' }))
  assert.deepEqual([wrong.error, wrong.error_code], ['invalid_password', 4001])
  assert.equal((await auth.deleteUser({ password: 'wrong horse' })).error?.status, 'invalid_password')
  assert.equal(application.calls('DELETE /auth/v1/user/me').length, 0)
  const { error } = await auth.deleteUser({ password })
  assert.equal(error, null, JSON.stringify(error))
  assert.match(lastOf('DELETE /auth/v1/user/me').query.get('sudo_token') ?? '', /./)
})

test('the code of /user/reauthenticate goes along with the new password', { timeout }, async () => {
  const email = 'dorothy@cloudbase.example'
  const user = await User.join(dev, { email })
  const { oauth } = await signedIn(user)
  const post = (verify_opt) => oauth.oauth2client.request('/v1/user/reauthenticate', { method: 'POST', withCredentials: true, body: { verify_opt } })
  const bad = await fault(post('pigeon'))
  assert.deepEqual([bad.error, bad.error_code], ['invalid_argument', 4001])
  assert.deepEqual(await post('email_code'), {})
  const limited = await fault(post('email_code'))
  assert.deepEqual([limited.error, limited.error_code], ['resource_exhausted', 8])
  const missing = await fault(post('phone_code'))
  assert.deepEqual([missing.error, missing.error_code], ['failed_precondition', 9])
  const patch = (verify_code) => oauth.oauth2client.request('/v1/user/password', { method: 'PATCH', withCredentials: true, body: { new_password: 'N3w!pass', verify_code } })
  const code = await codeTo(dev, email)
  assert.equal((await fault(patch(not(code)))).error_description, 'factor_incorrect')
  assert.deepEqual(await patch(code), {})
  assert.equal((await fault(patch(code))).error_description, 'proof_used')
})

test("somebody else's address is answered alike, and sent nothing", { timeout }, async () => {
  const email = 'edith@cloudbase.example'
  const { api } = await signedIn(await User.join(dev, { email: 'eve@cloudbase.example' }))
  await User.join(dev, { email })
  const sent = await api.getVerification({ email })
  assert.equal(sent.expires_in, 300)
  assert.match(sent.verification_id, /./)
  assert.deepEqual(await sentTo(dev, email), [])
  assert.equal((await fault(api.verify({ verification_id: sent.verification_id, verification_code: '000000' }))).error, 'invalid_verification_code')
})

test('each step holds to the session and the device that began', { timeout }, async () => {
  const email = 'fran@cloudbase.example'
  const user = await User.join(dev, { email })
  const [mine, thief] = [await signedIn(user), await signedIn(user.elsewhere())]
  const sent = await mine.api.getVerification({ email })
  const answer = { verification_id: sent.verification_id, verification_code: await codeTo(dev, email) }
  const device = await fault(thief.api.verify(answer))
  assert.deepEqual([device.error, device.error_code], ['permission_denied', 7])
  const { verification_token } = await mine.api.verify(answer)
  const session = await fault(thief.api.sudo({ verification_token }))
  assert.deepEqual([session.error, session.error_code], ['permission_denied', 7])
  const { sudo_token } = await mine.api.sudo({ verification_token })
  assert.equal((await fault(thief.api.setPassword({ new_password: 'N3w!pass', sudo_token }))).error_description, 'proof_invalid')
  assert.deepEqual(await mine.api.setPassword({ new_password: 'N3w!pass', sudo_token }), {}, 'none of that has used it up')
  assert.ok(await holds(thief))
})

test('a dead token signs the client out, and nothing else does', { timeout }, async () => {
  const email = 'gerty@cloudbase.example'
  const user = await User.join(dev, { email })
  const alive = await signedIn(user)
  await fault(alive.api.sudo({ password: 'wrong horse' }))
  await fault(alive.api.sudo({ verification_token: 'not one' }))
  await fault(alive.api.verify({ verification_id: 'not one', verification_code: '123456' }))
  await alive.api.getVerification({ email })
  assert.equal((await fault(alive.api.getVerification({ email }))).error, 'resource_exhausted')
  await fault(alive.oauth.oauth2client.request('/v1/user/sudo', { method: 'POST', withCredentials: true, body: {} }))
  await fault(alive.oauth.oauth2client.request('/v1/user/nothing', { withCredentials: true }))
  assert.ok(await holds(alive))

  const stranger = await signedIn(new User(dev, 'nobody-registered-them', 'session-1'))
  const unknown = await fault(stranger.api.sudo({ password }))
  assert.deepEqual([unknown.error, unknown.error_code], ['not_found', 5])
  assert.ok(await holds(stranger))

  const dead = await signedIn(user)
  await dead.oauth.oauth2client.setCredentials({ token_type: 'Bearer', access_token: user.token({ exp: 1 }), refresh_token: '', expires_in: 3600, scope: '' })
  const { error, error_code } = await fault(dead.api.sudo({ password }))
  assert.deepEqual([error, error_code], ['unauthenticated', 16])
  assert.ok(!(await holds(dead)))
})
