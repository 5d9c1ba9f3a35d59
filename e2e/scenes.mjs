// How a person comes to each page. Each scene leaves its page on the screen.
// The tests check them all; the screenshot script takes pictures of some.

import { parse } from 'node-html-parser'
import { bank, mail, newLinkButton, pages, reconnectButton, stopButton } from './pages.mjs'

/** @typedef {import('./lib/world.mjs').Dev} Dev */
/** @typedef {import('./lib/visitor.mjs').Visitor} Visitor */

/** Nobody of the tests' people has this login. */
export const stranger = 'john89'

/** Days after which a consent of 90 days is lapsing, has lapsed, cannot be renewed. */
export const after = { lapsing: 85, lapsed: 91, unrenewable: 181 }

/**
 * @typedef {object} Scene
 * @property {import('./pages.mjs').PageText} page
 * @property {'kept' | 'renewed' | 'revoked'} becomes what the trip makes of the consent
 * @property {(world: Dev, visitor: Visitor) => Promise<any>} reach returns the person
 * @property {(world: Dev) => Promise<any>} [end] when the page has been looked at, and what came of it
 */

/** Somebody whose consent is so many days old, and a link for them. */
async function somebody(world, days = after.lapsing, details = {}) {
  const person = await world.person(details)
  await world.bank.advance(days)
  return { ...person, link: await world.backend.reconnectLink(person.consent.id) }
}

/** Somebody who has come as far as the bank's last question. */
async function atTheBank(world, visitor) {
  const person = await somebody(world)
  await visitor.open(person.link)
  await visitor.press()
  await visitor.logIn(person.login)
  return person
}

const open = (days) => async (world, visitor) => {
  const person = await somebody(world, days)
  await visitor.open(person.link)
  return person
}

const withFault = (fault, times = 1) => async (world, visitor) => {
  const person = await atTheBank(world, visitor)
  await world.bank.fault(fault, times)
  await bank.allow(visitor.page).click()
  return person
}

/** The links in somebody's mails, oldest first. @param {(href: string) => boolean} wanted */
export async function linksTo(world, email, wanted = mail.isReconnectLink) {
  const letters = (await world.bank.mail()).filter((letter) => letter.to === email)
  return letters.flatMap((letter) => parse(letter.html).querySelectorAll('a[href]').map((a) => a.getAttribute('href') ?? '').filter(wanted))
}

/** Somebody whose link has expired. */
async function expired(world, visitor) {
  const person = await somebody(world)
  await world.bank.advance(31)
  await visitor.open(person.link)
  return person
}

/** Somebody who was mailed, and what the mail's unsubscribe link shows. */
async function unsubscribing(world, visitor) {
  const person = await somebody(world)
  await visitor.open((await linksTo(world, person.email, mail.isUnsubscribeLink)).at(-1))
  return person
}

/** @type {Record<string, Scene>} */
export const scenes = {
  'reconnect-lapsing': { page: pages.reconnectLapsing, becomes: 'kept', reach: open(after.lapsing) },
  'reconnect-lapsed': { page: pages.reconnectLapsed, becomes: 'kept', reach: open(after.lapsed) },
  'reconnect-unrenewable': { page: pages.reconnectUnrenewable, becomes: 'kept', reach: open(after.unrenewable) },
  'reconnect-german': {
    page: pages.reconnectGerman, becomes: 'kept',
    async reach(world, visitor) {
      const person = await somebody(world, after.lapsing, { locale: 'de-AT', time_zone: 'Europe/Vienna' })
      await visitor.open(person.link)
      return person
    },
  },
  'reconnect-newer': {
    page: pages.newerSent, becomes: 'kept',
    async reach(world, visitor) {
      const person = await world.person()
      await world.bank.advance(after.lapsing)
      const [first] = await linksTo(world, person.email)
      await world.bank.advance(4.5) // a day before, another mail
      await visitor.open(first)
      return person
    },
  },
  'result-renewed': {
    page: pages.renewed, becomes: 'renewed',
    async reach(world, visitor) {
      const person = await atTheBank(world, visitor)
      await bank.allow(visitor.page).click()
      return person
    },
  },
  'result-lapsed': {
    page: pages.resultLapsed, becomes: 'renewed',
    async reach(world, visitor) {
      const person = await atTheBank(world, visitor)
      await bank.allow(visitor.page).click()
      await visitor.sees(pages.renewed)
      await world.bank.advance(after.lapsed)
      await visitor.page.reload()
      return person
    },
  },
  'result-denied': {
    page: pages.denied, becomes: 'kept',
    async reach(world, visitor) {
      const person = await atTheBank(world, visitor)
      await bank.deny(visitor.page).click()
      return person
    },
  },
  'result-other-login': {
    page: pages.otherLogin, becomes: 'kept',
    async reach(world, visitor) {
      const person = await somebody(world)
      await visitor.open(person.link)
      await visitor.renew(stranger)
      return person
    },
  },
  'result-other-accounts': { page: pages.otherAccounts, becomes: 'kept', reach: withFault('same_id_other_accounts') },
  'result-bank-trouble': { page: pages.bankTrouble, becomes: 'kept', reach: withFault('server_error') },
  'result-code-refused': { page: pages.codeRefused, becomes: 'kept', reach: withFault('code_already_used') },
  // For as long as the page is looked at: upkeep finishes such a trip by itself when the bank is back.
  'result-bank-away': { page: pages.bankAway, becomes: 'kept', reach: withFault('internal_error', 1000), end: (world) => world.bank.fault('internal_error', 0) },
  'press-bank-away': {
    page: pages.bankAway, becomes: 'kept',
    async reach(world, visitor) {
      const person = await somebody(world)
      await visitor.open(person.link)
      await world.bank.fault('internal_error')
      await reconnectButton(visitor.page).click()
      return person
    },
  },
  'result-too-late': {
    page: pages.tooLate, becomes: 'kept',
    async reach(world, visitor) {
      const person = await atTheBank(world, visitor)
      await world.bank.advance(0.125)
      await bank.allow(visitor.page).click()
      return person
    },
  },
  'link-expired': { page: pages.linkExpired, becomes: 'kept', reach: expired },
  'link-sent-anew': {
    page: pages.newLinkSent, becomes: 'kept',
    async reach(world, visitor) {
      const person = await expired(world, visitor)
      await newLinkButton(visitor.page).click()
      return person
    },
  },
  'link-asked-often': {
    page: pages.askedOften, becomes: 'kept',
    async reach(world, visitor) {
      const person = await expired(world, visitor)
      for (const last of [false, false, false, true]) {
        await newLinkButton(visitor.page).click()
        if (last) break
        await visitor.sees(pages.newLinkSent)
        await visitor.open(person.link)
      }
      return person
    },
  },
  'link-moved': {
    page: pages.moved, becomes: 'kept',
    async reach(world, visitor) {
      const person = await somebody(world)
      const [old] = await linksTo(world, person.email)
      await world.backend.ask(`/v1/users/${person.user}`, { email: `new-${person.email}` }, { method: 'PUT' })
      await visitor.open(old)
      return person
    },
  },
  'link-already-renewed': {
    page: pages.alreadyRenewed, becomes: 'renewed',
    async reach(world, visitor) {
      const person = await somebody(world)
      await visitor.open(person.link)
      await visitor.renew(person.login)
      await visitor.sees(pages.renewed)
      await visitor.open(person.link)
      return person
    },
  },
  'link-revoked': {
    page: pages.ended, becomes: 'revoked',
    async reach(world, visitor) {
      const person = await somebody(world)
      await world.backend.ask(`/v1/consents/${person.consent.id}`, undefined, { method: 'DELETE' })
      await visitor.open(person.link)
      return person
    },
  },
  'link-erased-user': {
    page: pages.ended, becomes: 'revoked',
    async reach(world, visitor) {
      const person = await somebody(world)
      await world.backend.ask(`/v1/users/${person.user}`, undefined, { method: 'DELETE', status: 204 })
      await visitor.open(person.link)
      return person
    },
  },
  'link-altered': {
    page: pages.unknownLink, becomes: 'kept',
    async reach(world, visitor) {
      const person = await somebody(world)
      const last = person.link.at(-1)
      // The last sign carries four bits of the token; another one of the alphabet differs in them.
      await visitor.open(person.link.slice(0, -1) + (last === 'A' ? 'Q' : 'A'))
      return person
    },
  },
  'link-truncated': {
    page: pages.unknownLink, becomes: 'kept',
    async reach(world, visitor) {
      const person = await somebody(world)
      await visitor.open(person.link.slice(0, -8))
      return person
    },
  },
  'callback-incomplete': {
    page: pages.callbackIncomplete, becomes: 'kept',
    async reach(world, visitor) {
      const person = await somebody(world)
      await visitor.open(`${world.api}/callback?code=abc`)
      return person
    },
  },
  'callback-unknown-state': {
    page: pages.stateUnknown, becomes: 'kept',
    async reach(world, visitor) {
      const person = await somebody(world)
      await visitor.open(`${world.api}/callback?code=abc&state=demo.xyz&error_description=${encodeURIComponent('<script>alert(1)</script>')}`)
      return person
    },
  },
  'nothing-here': {
    page: pages.nowhere, becomes: 'kept',
    async reach(world, visitor) {
      const person = await somebody(world)
      await visitor.open(`${world.api}/nothing-here`)
      return person
    },
  },
  unsubscribe: { page: pages.stopReminders, becomes: 'kept', reach: unsubscribing },
  unsubscribed: {
    page: pages.remindersStopped, becomes: 'kept',
    async reach(world, visitor) {
      const person = await unsubscribing(world, visitor)
      await stopButton(visitor.page).click()
      return person
    },
  },
}
