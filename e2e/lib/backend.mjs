// What an application's backend does: it calls the API with its key.

import assert from 'node:assert/strict'

/** @typedef {{status: number, body: any}} Answer */

/**
 * @param {string} url
 * @param {{method?: string, key?: string, body?: unknown}} [options]
 * @returns {Promise<Answer>}
 */
export async function call(url, { method, key, body } = {}) {
  const response = await fetch(url, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: { ...(key && { Authorization: `Bearer ${key}` }), ...(body !== undefined && { 'Content-Type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
    signal: AbortSignal.timeout(60_000),
  })
  const text = await response.text()
  return { status: response.status, body: text ? JSON.parse(text) : null }
}

export class Backend {
  /**
   * @param {string} api base URL
   * @param {string} key
   * @param {string} provider under which the sandbox bank is configured
   */
  constructor(api, key, provider) {
    this.api = api
    this.key = key
    this.provider = provider
  }

  /**
   * @param {string} path
   * @param {unknown} [body]
   * @param {{method?: string, status?: number}} [options]
   */
  async ask(path, body, { method, status = 200 } = {}) {
    const answer = await call(this.api + path, { method, key: this.key, body })
    assert.equal(answer.status, status, `${path}: ${JSON.stringify(answer.body)}`)
    return answer.body
  }

  consent(id) {
    return this.ask(`/v1/consents/${id}`)
  }

  /** Every line of a consent's history, oldest first. */
  async events(id) {
    return (await this.ask(`/v1/consents/${id}/events?limit=200`)).events
  }

  /** How often something happened to a consent. */
  async count(id, type) {
    return (await this.events(id)).filter((event) => event.type === type).length
  }

  /**
   * @param {string} id of a consent
   * @param {{return_to?: string, state?: string}} [body]
   * @returns {Promise<string>} the link that a mail would carry
   */
  async reconnectLink(id, body = {}) {
    return (await this.ask(`/v1/consents/${id}/reconnect-links`, body, { status: 201 })).url
  }
}
