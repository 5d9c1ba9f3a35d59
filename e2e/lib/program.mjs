// The real binary, run as a person would run it.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

/** Where scripts/test-browser.sh puts the binary that it built. */
export const binary = process.env.RECONSENT_BIN ?? fileURLToPath(new URL('../../.test/reconsent', import.meta.url))

/** How long anything may take to start, or to say something that is waited for. */
export const patience = 30_000

const running = new Set()

// A test run that ends leaves nothing behind, however it ends.
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')))
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => process.exit(1))

/** A command that goes on serving. */
export class Program {
  /**
   * @param {string[]} args
   * @param {Record<string, string>} [env]
   */
  constructor(args, env = {}) {
    this.args = args
    this.child = spawn(binary, args, { env: { PATH: process.env.PATH, HOME: process.env.HOME, TZ: 'UTC', ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    running.add(this.child)
    this.child.once('error', (error) => this.said.stderr.push(`${error}; scripts/test-browser.sh builds it`))
    this.ended = new Promise((resolve) => this.child.once('close', resolve))
    this.ended.then(() => running.delete(this.child))
    /** @type {{stdout: string[], stderr: string[]}} what it has said so far */
    this.said = { stdout: [], stderr: [] }
    this.waiting = new Set()
    for (const name of /** @type {const} */ (['stdout', 'stderr'])) {
      createInterface({ input: this.child[name] }).on('line', (line) => {
        this.said[name].push(line)
        this.waiting.forEach((look) => look())
      })
    }
  }

  /**
   * The first line that fits, said already or yet to come.
   * @param {'stdout' | 'stderr'} stream
   * @param {RegExp} pattern
   * @returns {Promise<string>}
   */
  line(stream, pattern) {
    return new Promise((resolve, reject) => {
      const done = (settle, value) => {
        this.waiting.delete(look)
        clearTimeout(timer)
        settle(value)
      }
      const fail = (why) => done(reject, new Error(`reconsent ${this.args[0]}: ${why}, no line like ${pattern}\n${this.said.stderr.slice(-20).join('\n')}`))
      const look = () => {
        const found = this.said[stream].find((line) => pattern.test(line))
        if (found !== undefined) done(resolve, found)
      }
      const timer = setTimeout(() => fail('too slow'), patience)
      this.waiting.add(look)
      this.ended.then(() => fail('ended'))
      look()
    })
  }

  async stop() {
    this.child.kill('SIGTERM')
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 5_000)
    await this.ended
    clearTimeout(timer)
  }
}

/**
 * Runs a command to its end and returns what it printed.
 * @param {string[]} args
 * @param {Record<string, string>} [env]
 * @returns {Promise<string>}
 */
export async function run(args, env) {
  const program = new Program(args, env)
  const timer = setTimeout(() => program.child.kill('SIGKILL'), patience)
  const [code] = program.child.exitCode === null ? await once(program.child, 'close') : [program.child.exitCode]
  clearTimeout(timer)
  if (code !== 0) throw new Error(`reconsent ${args.join(' ')} exited with ${code}: ${program.said.stderr.join('\n')}`)
  return program.said.stdout.join('\n')
}
