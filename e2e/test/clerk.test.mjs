// Clerk's own client, unmodified: it takes our challenge for its hint, opens a
// flow of ours, and sends the request once more.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { after, test } from 'node:test'
import { createCheckAuthorization, validateReverificationConfig } from '@clerk/shared/authorization'
import { isReverificationHint } from '@clerk/shared/authorization-errors'
import { isReverificationCancelledError } from '@clerk/shared/error'
import { ClerkInstanceContext, useReverification } from '@clerk/shared/react'
import { createElement } from 'react'
import { renderToString } from 'react-dom/server'
import { Application, codeTo, not, User } from '../lib/application.mjs'
import { Dev } from '../lib/world.mjs'

const timeout = 60_000
const dev = await Dev.start()
const application = await Application.open(dev, {
  // Without a proof that is taken it answers as reconsent does: with the challenge.
  'POST /api/transfer': async ({ user, headers, body }) => {
    const proof = headers['reverification-proof']
    if (proof === undefined) return user.call(`/reauthenticate?level=${body.level}&operation=transfer`)
    const used = await application.use(user, 'transfer', { proof: String(proof), level: body.level })
    return used.status === 200 ? { status: 200, body: { done: true, level: used.body.level } } : used
  },
})
after(() => Promise.all([application.close(), dev.stop()]))

/** Every level, and what Clerk's client makes of it. */
const levels = {
  strict_mfa: ['strict_mfa', { level: 'multi_factor', afterMinutes: 10 }],
  strict: ['strict', { level: 'second_factor', afterMinutes: 10 }],
  moderate: ['moderate', { level: 'second_factor', afterMinutes: 60 }],
  lax: ['lax', { level: 'second_factor', afterMinutes: 1440 }],
  medium: [{ level: 'first_factor', afterMinutes: 15 }],
  high: [{ level: 'second_factor', afterMinutes: 5 }],
  critical: [{ level: 'second_factor', afterMinutes: 1 }],
  session: [{ level: 'first_factor', afterMinutes: 1440 }],
  sca: [{ level: 'multi_factor', afterMinutes: 5 }],
  'first_factor&after_minutes=1': [{ level: 'first_factor', afterMinutes: 1 }],
  'second_factor&after_minutes=7': [{ level: 'second_factor', afterMinutes: 7 }],
  'multi_factor&after_minutes=99998': [{ level: 'multi_factor', afterMinutes: 99998 }],
}

/** What Clerk's hook makes of a function, in a component of an application without Clerk's own pages. */
function hooked(fetcher, options) {
  let enhanced
  const Component = () => {
    enhanced = useReverification(fetcher, options)
    return null
  }
  renderToString(createElement(ClerkInstanceContext.Provider, { value: { value: {} } }, createElement(Component)))
  return enhanced
}

test("every level's challenge is its hint, with metadata that it takes", { timeout }, async () => {
  let user
  for (const [i, [level, [hint, means = hint]]] of Object.entries(Object.entries(levels))) {
    if (Number(i) % 10 === 0) user = await User.join(dev, { email: `ada-${i}@clerk.example` }) // ten calls in five minutes
    const { status, headers, body } = await user.call(`/reauthenticate?level=${level}`)
    assert.equal(status, 403, level)
    assert.match(headers.get('Content-Type') ?? '', /^application\/problem\+json/)
    assert.match(headers.get('WWW-Authenticate') ?? '', /^Bearer error="insufficient_user_authentication"/)
    assert.ok(isReverificationHint(body), level)
    assert.deepEqual(body.clerk_error.metadata.reverification, hint, level)
    const config = validateReverificationConfig(body.clerk_error.metadata.reverification)
    assert.ok(config, level)
    assert.deepEqual(config(), means, level)
  }
})

test('nothing else is taken for its hint', { timeout }, async () => {
  const user = await User.join(dev, { email: 'bea@clerk.example' })
  assert.ok(!isReverificationHint(await user.ask('/reauthenticate?level=low')))
  assert.ok(!isReverificationHint(await user.ask('/reauthenticate?level=none', undefined, { status: 400 })))
  const { body } = await user.elsewhere().call('/v1/reverifications/rev_none')
  assert.ok(!isReverificationHint(body))
})

test('what the guides show of the challenge is its hint too', async () => {
  const shown = [...(await readFile(new URL('../../docs/guards.md', import.meta.url), 'utf8')).matchAll(/^\{\n[^]*?^\}$/gm)]
    .map(([text]) => text).filter((text) => text.includes('clerk_error')).map((text) => JSON.parse(text))
  assert.ok(shown.length > 0)
  for (const body of shown) {
    assert.ok(isReverificationHint(body))
    assert.ok(validateReverificationConfig(body.clerk_error.metadata.reverification))
  }
})

/** A page of the application's: its request, and what it does when more has to be proven. */
function transferPage(user, level, flow) {
  let proof
  const asked = []
  const fetcher = (amount) => {
    asked.push(amount)
    return fetch(`${application.url}/api/transfer`, {
      method: 'POST', body: JSON.stringify({ level, amount }),
      headers: { Authorization: `Bearer ${user.token()}`, 'Content-Type': 'application/json', ...(proof && { 'Reverification-Proof': proof }) },
    })
  }
  const opened = []
  const onNeedsReverification = async ({ complete, cancel, level: needed }) => {
    opened.push(needed)
    proof = await flow()
    proof === undefined ? cancel() : complete()
  }
  return { transfer: hooked(fetcher, { onNeedsReverification }), asked, opened }
}

for (const [level, needed] of Object.entries({ strict: 'second_factor', medium: 'first_factor', critical: 'second_factor', strict_mfa: 'multi_factor' })) {
  test(`${level}: refused, proven, and sent once more`, { timeout }, async () => {
    const email = `${level}@clerk.example`
    const user = await User.join(dev, { email })
    const { transfer, asked, opened } = transferPage(user, level, () => user.proveByCode({ level, operation: 'transfer' }, email))
    assert.deepEqual(await transfer('10.00'), { done: true, level })
    assert.deepEqual(asked, ['10.00', '10.00'])
    assert.deepEqual(opened, [needed])
  })
}

test('cancelled: told so, and never sent again', { timeout }, async () => {
  const user = await User.join(dev, { email: 'cancel@clerk.example' })
  const { transfer, asked } = transferPage(user, 'strict', async () => undefined)
  await assert.rejects(transfer('10.00'), (error) => {
    assert.ok(isReverificationCancelledError(error))
    assert.equal(error.code, 'reverification_cancelled')
    return true
  })
  assert.equal(asked.length, 1)
})

test('proven too little: the hint comes back, and no second flow is opened', { timeout }, async () => {
  const email = 'little@clerk.example'
  const user = await User.join(dev, { email })
  const { transfer, asked, opened } = transferPage(user, 'critical', () => user.proveByCode({ level: 'medium', operation: 'transfer' }, email))
  assert.ok(isReverificationHint(await transfer('10.00')))
  assert.deepEqual([asked.length, opened.length], [2, 1])
})

test("another session's proof and a used one are no hint: a flow would not help", { timeout }, async () => {
  const email = 'thief@clerk.example'
  const user = await User.join(dev, { email })
  const proof = await user.proveByCode({ level: 'strict', operation: 'transfer' }, email)
  const send = async (who) => (await fetch(`${application.url}/api/transfer`, {
    method: 'POST', body: JSON.stringify({ level: 'strict' }), headers: { Authorization: `Bearer ${who.token()}`, 'Reverification-Proof': proof },
  })).json()
  const thief = await send(user.elsewhere())
  assert.equal(thief.code, 'proof_mismatch')
  assert.ok(!isReverificationHint(thief))
  assert.deepEqual(await send(user), { done: true, level: 'strict' })
  const again = await send(user)
  assert.equal(again.code, 'proof_used')
  assert.ok(!isReverificationHint(again))
})

test("Clerk's own check passes the fva of a proof where ours does", { timeout }, async () => {
  const email = 'fva@clerk.example'
  const user = await User.join(dev, { email })
  const proof = await user.proveByCode({ level: 'strict' }, email)
  const { fva, sub, sid } = JSON.parse(Buffer.from(proof.split('.')[1], 'base64url').toString())
  assert.deepEqual(fva, [0, -1])
  const has = createCheckAuthorization({ userId: sub, sessionId: sid, factorVerificationAge: fva, orgId: null, orgRole: null, orgPermissions: null, features: null, plans: null })
  for (const [level, [hint]] of Object.entries(levels)) {
    if (!['critical', 'sca'].includes(level)) assert.equal(has({ reverification: hint }), true, level)
  }
})

test('a wrong code keeps the flow open', { timeout }, async () => {
  const email = 'typo@clerk.example'
  const user = await User.join(dev, { email })
  const { transfer, asked } = transferPage(user, 'strict', async () => {
    const { id, first_factors } = await user.begin({ level: 'strict', operation: 'transfer' })
    assert.deepEqual(first_factors, [{ strategy: 'email_code', safe_identifier: 't***@clerk.example' }])
    await user.ask(`/v1/reverifications/${id}/prepare`, { strategy: 'email_code' })
    const code = await codeTo(dev, email)
    const wrong = await user.ask(`/v1/reverifications/${id}/attempt`, { strategy: 'email_code', code: not(code) }, { status: 422 })
    assert.deepEqual([wrong.code, wrong.attempts_left], ['factor_incorrect', 4])
    return (await user.ask(`/v1/reverifications/${id}/attempt`, { strategy: 'email_code', code })).proof
  })
  assert.deepEqual(await transfer('10.00'), { done: true, level: 'strict' })
  assert.equal(asked.length, 2)
})
