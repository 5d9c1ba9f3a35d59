// Two ways to run reconsent: dev, whose clock a test moves, and serve, as in
// production, with a real mail server and wall time.

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Backend } from './backend.mjs'
import { Bank, hop, signIn } from './bank.mjs'
import { Program, run } from './program.mjs'

const DAY = 24 * 60 * 60 * 1000

/** A directory that is gone when the tests end, however they end. */
function directory() {
  const path = mkdtempSync(join(tmpdir(), 'reconsent-e2e-'))
  const remove = () => rmSync(path, { recursive: true, force: true, maxRetries: 5 })
  process.on('exit', remove)
  return { path, remove }
}

/** A port that nobody listens on: serve has to know its own address before it listens. */
async function freePort() {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address())
  probe.close()
  await once(probe, 'close')
  return port
}

/** `reconsent dev`: everything in one process, on a clock that only tests move far. */
export class Dev {
  /** @param {object} [reauth] settings of re-authentication, over the demo's own */
  static async start(reauth) {
    const dir = directory()
    const args = ['dev', '--json', '--addr', '127.0.0.1:0', '--sandbox-addr', '127.0.0.1:0', '--data-dir', dir.path]
    if (reauth) {
      const file = join(dir.path, 'reauth.json')
      await writeFile(file, JSON.stringify(reauth), { mode: 0o600 })
      args.push('--reauth', file)
    }
    const program = new Program(args)
    const ready = JSON.parse(await program.line('stdout', /^\{/))
    return new Dev(dir, program, ready)
  }

  constructor(dir, program, ready) {
    this.dir = dir
    this.program = program
    this.api = ready.api
    this.bank = new Bank(ready.sandbox)
    this.backend = new Backend(ready.api, ready.api_key, 'sandbox')
    /** With which the demo application signs its users' tokens. */
    this.secret = ready.user_jwt_secret
    this.people = 0
  }

  /** The origins that a browser of ours may ask. */
  get origins() {
    return [this.api, this.bank.url]
  }

  /**
   * Somebody new, with a bank account linked at this moment.
   * @param {{name?: string, locale?: string, time_zone?: string}} [details]
   * @returns {Promise<{user: string, email: string, login: string, consent: any}>}
   */
  async person({ name = 'Ada', ...details } = {}) {
    const n = ++this.people
    const user = `person-${n}`
    const email = `${user}@example.org`
    const login = `john${n}` // john90 to john100 belong to dev's own examples
    await this.backend.ask(`/v1/users/${user}`, { email, name, ...details }, { method: 'PUT' })
    const { uri } = await this.backend.ask('/v1/authuri', { provider: 'sandbox', provider_id: 'mock', user_id: user }, { status: 201 })
    const back = await hop(await signIn(uri, login))
    assert.equal(back.status, 200)
    const { consents } = await this.backend.ask(`/v1/consents?user_id=${user}`)
    return { user, email, login, consent: consents[0] }
  }

  async stop() {
    await this.program.stop()
    this.dir.remove()
  }
}

/** `reconsent serve` and `reconsent sandbox`, two processes. */
export class Deployment {
  /**
   * @param {{smtp: string, applications: {slug: string, name: string, confirmLinks?: boolean}[], dataURL?: (bank: string) => Promise<string>}} options
   */
  static async start({ smtp, applications, dataURL }) {
    const dir = directory()
    const sandbox = new Program(['sandbox', '--addr', '127.0.0.1:0'])
    const bank = /http:\/\/[0-9.:]+/.exec(await sandbox.line('stdout', /^Sandbox bank on /))?.[0] ?? ''
    const port = await freePort()
    const env = {
      RECONSENT_DATABASE_URL: `sqlite:${join(dir.path, 'reconsent.db')}`,
      RECONSENT_KEYS_FILE: join(dir.path, 'keys.json'),
      RECONSENT_ADDR: `127.0.0.1:${port}`,
      RECONSENT_BASE_URL: `http://127.0.0.1:${port}`,
      RECONSENT_SMTP_URL: smtp,
      RECONSENT_MAIL_FROM: 'Reminders <reminders@bank.example>',
    }
    await writeFile(env.RECONSENT_KEYS_FILE, await run(['keys', 'new']), { mode: 0o600 })
    await run(['migrate', 'up'], env)
    const provider = [
      '--provider', 'truelayer', '--client-id', 'sandbox-demo', '--client-secret', 'sandbox-secret',
      '--environment', 'sandbox', '--auth-url', bank, ...(dataURL ? ['--data-url', await dataURL(bank)] : []),
    ]
    const world = new Deployment({ dir, env, sandbox, bank, provider })
    for (const { slug, name, confirmLinks } of applications) await world.application(slug, name, confirmLinks)
    const server = new Program(['serve'], env)
    world.programs.unshift(server)
    await server.line('stderr', /"msg":"serving"/)
    return world
  }

  constructor({ dir, env, sandbox, bank, provider }) {
    this.dir = dir
    this.env = env
    this.programs = [sandbox]
    this.api = env.RECONSENT_BASE_URL
    this.bank = new Bank(bank)
    this.provider = provider
    /** @type {Record<string, Backend>} by short name */
    this.applications = {}
  }

  /** Makes an application. Without confirmLinks its hosted first links count by themselves. */
  async application(slug, name, confirmLinks = false) {
    const out = await run(['app', 'create', slug, '--name', name, ...(confirmLinks ? [] : ['--no-confirm-links']), ...this.provider], this.env)
    return (this.applications[slug] = new Backend(this.api, JSON.parse(out).api_key, 'truelayer'))
  }

  get origins() {
    return [this.api, this.bank.url]
  }

  /** A grant as a backend that never heard of reconsent holds it: at the bank it is from now. */
  async grant(login, password) {
    const redirectURI = `${this.api}/callback`
    const link = `${this.bank.url}/?${new URLSearchParams({
      response_type: 'code', client_id: 'sandbox-demo', redirect_uri: redirectURI, provider_id: 'mock', scope: 'info accounts balance offline_access',
    })}`
    const code = new URL(await signIn(link, login, password)).searchParams.get('code')
    const token = await (await hop(`${this.bank.url}/connect/token`, {
      method: 'POST',
      body: new URLSearchParams({ grant_type: 'authorization_code', client_id: 'sandbox-demo', client_secret: 'sandbox-secret', redirect_uri: redirectURI, code: code ?? '' }),
    })).json()
    const me = await (await hop(`${this.bank.url}/data/v1/me`, { headers: { Authorization: `Bearer ${token.access_token}` } })).json()
    return { refreshToken: token.refresh_token, credentialsID: me.results[0].credentials_id, redirectURI }
  }

  /**
   * Imports consents that were given so many days ago, and has the latest stage
   * that has passed announced: what wall time allows of a reminder.
   * @param {string} slug
   * @param {{login: string, password?: string, user: string, email: string, age: number, custody?: string}[]} rows
   */
  async import(slug, rows) {
    const lines = []
    for (const { login, password, user, email, age, custody } of rows) {
      const grant = await this.grant(login, password)
      lines.push(JSON.stringify({
        credentials_id: grant.credentialsID, refresh_token: grant.refreshToken, redirect_uri: grant.redirectURI,
        provider: 'truelayer', provider_id: 'mock', user_id: user, email, scope: 'info accounts balance offline_access',
        consented_at: new Date(Date.now() - age * DAY).toISOString(), ...(custody && { custody }),
      }))
    }
    const file = join(this.dir.path, 'consents.jsonl')
    await writeFile(file, lines.join('\n') + '\n')
    await run(['consent', 'import', file, '--app', slug, '--announce'], this.env)
  }

  /**
   * Links an account now, for somebody of an application whose first links count by themselves.
   * @param {Backend} application
   * @param {{user: string, login: string, password?: string}} who
   */
  async link(application, { user, login, password }) {
    const { uri } = await application.ask('/v1/authuri', { provider: application.provider, provider_id: 'mock', user_id: user }, { status: 201 })
    const back = await hop(await signIn(uri, login, password))
    assert.equal(back.status, 200, await back.text())
  }

  /** Announces what is due, as an outside cron would; serve sends the mail. */
  sweep() {
    return run(['sweep'], this.env)
  }

  async stop() {
    await Promise.all(this.programs.map((program) => program.stop()))
    this.dir.remove()
  }
}
