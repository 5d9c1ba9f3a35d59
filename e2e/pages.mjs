// Everything that the tests know of what pages show: texts, roles, names. When
// a page's words change, this file changes and no other.
//
// Of a page: `status` of its answer, `heading` (its only h1), `says` (what its
// main part must tell), `never` (what it must not).

/**
 * @typedef {object} PageText
 * @property {number} status
 * @property {RegExp} heading
 * @property {RegExp[]} [says]
 * @property {RegExp[]} [never]
 */

/** Whatever makes a person think that they did something wrong, or lost something. */
const nothingLost = /as it was|nothing has changed|changed nothing/i

/** A moment, with the zone's name. */
const moment = /\d{1,2} \w+ \d{4}, ?\d\d:\d\d UTC/
const account = /Current account ••\d{4}/

/** @type {Record<string, PageText>} */
export const pages = {
  // Of a link that leads to the bank.
  reconnectLapsing: { status: 200, heading: /^Keep Mock Bank connected$/, says: [/Demo Budget/, /Mock Bank/, account, /Access until/, moment, /What happens next/], never: [/stopped/i] },
  reconnectLapsed: { status: 200, heading: /^Reconnect Mock Bank$/, says: [/Demo Budget/, /Access stopped/, account, moment], never: [/Access until/] },
  reconnectUnrenewable: { status: 200, heading: /^Reconnect Mock Bank$/, says: [/Access stopped/] },
  // As above, of a consent that no bank has told us anything of yet.
  reconnectUnknownBank: { status: 200, heading: /^Reconnect your bank$/, says: [/Access stopped/] },
  newerSent: { status: 200, heading: /^Keep Mock Bank connected$/, says: [/newer link, of \d/, account] },
  // Of an application that has people confirm with it.
  statement: { status: 200, heading: /^Keep Mock Bank connected$/, says: [/I agree that Acme Budget may go on reading my account “Current account ••\d{4}” and 1 more account at Mock Bank for another 90 days\./] },
  reconnectGerman: { status: 200, heading: /^Mock Bank verbunden halten$/, says: [/Demo Budget/, account, /Zugriff bis/, /\d{1,2}\. \S+ \d{4}, ?\d\d:\d\d Uhr MES?Z/, /So geht es weiter/], never: [/>[^<]*\b(the|your|You)\b/] },

  // Of a link that leads nowhere any more.
  alreadyRenewed: { status: 200, heading: /^Mock Bank is connected$/, says: [/nothing to do/i, moment], never: [/<form/, /••/] },
  linkExpired: { status: 410, heading: /link has expired/i, says: [/Mock Bank/, account], never: [/@[\w.-]*example/] },
  // As above, of a consent that no bank has told us anything of yet.
  linkExpiredUnknownBank: { status: 410, heading: /link has expired/i, says: [/Acme Budget/], never: [/@[\w.-]*example/] },
  newLinkSent: { status: 200, heading: /look at your email/i, says: [/is on its way to the email address/], never: [/@[\w.-]*example/] },
  askedOften: { status: 429, heading: /asked several times/i, says: [/in an hour/] },
  moved: { status: 410, heading: /no longer valid/i, says: [/address that is no longer in use/], never: [/Mock Bank/, /••/, /@[\w.-]*example/, /<form/] },
  ended: { status: 410, heading: /has ended/i, never: [/••/, /<form/] },
  unknownLink: { status: 404, heading: /do not know this link/i, never: [/Demo Budget/, /Mock Bank/] },
  nowhere: { status: 404, heading: /nothing at this address/i },

  // Results.
  renewed: { status: 200, heading: /^Mock Bank is connected$/, says: [account, /Access until/, moment], never: [/<form/] },
  // The same a day later, when it may be somebody else who looks.
  renewedLater: { status: 200, heading: /^Mock Bank is connected$/, says: [/Access until/, moment], never: [/<form/, /••/] },
  resultLapsed: { status: 410, heading: /^Access to Mock Bank has stopped$/, says: [/Demo Budget can no longer see/, /start again from/], never: [/<form/, /••/] },
  linkedGerman: { status: 200, heading: /^Mock Sparkasse is connected$/ },
  pending: { status: 200, heading: /almost done/i, says: [/go back to .*: the connection is completed/i] },
  denied: { status: 200, heading: /did not give permission/i, says: [nothingLost] },
  otherLogin: { status: 409, heading: /another bank login/i, says: [account, nothingLost], never: [/••\d{5}/] },
  otherAccounts: { status: 409, heading: /another account was chosen/i, says: [account, /choose the same account/i, nothingLost], never: [/another bank login|sign in with/i] },
  bankTrouble: { status: 200, heading: /bank had a problem/i, says: [nothingLost, /not your fault/i], never: [/declined|did not give/i] },
  codeRefused: { status: 200, heading: /answer came too late/i, says: [nothingLost, /not your fault/i] },
  bankAway: { status: 503, heading: /bank does not answer/i, says: [/Demo Budget/, nothingLost, /nothing wrong/i] },
  tooLate: { status: 410, heading: /took too long/i, says: [nothingLost] },
  callbackIncomplete: { status: 400, heading: /not complete/i, says: [nothingLost] },
  stateUnknown: { status: 400, heading: /do not know this link/i, says: [nothingLost] },

  // Of a visit to the application's identity provider.
  identityProven: { status: 200, heading: /^Done$/, says: [/go back to Demo Budget/], never: [/ada/, /<form/] },
  identityStranger: { status: 403, heading: /another user/i, says: [/Demo Budget/, nothingLost], never: [/bob|ada/, /<form/] },
  identityCancelled: { status: 403, heading: /not confirmed/i, says: [/cancelled/, nothingLost, /Demo Budget/], never: [/<form/] },
  identityStale: { status: 410, heading: /could not be confirmed/i, says: [nothingLost], never: [/cancelled/, /<form/] },
  identityElsewhere: { status: 403, heading: /could not be confirmed/i, says: [/another browser/, nothingLost], never: [/ada/, /<form/] },

  // Of a mail's unsubscribe link.
  stopReminders: { status: 200, heading: /^Stop these reminders\?$/, says: [/Demo Budget/, /still tell you, once/] },
  remindersStopped: { status: 200, heading: /^You get no more reminders$/, says: [/take it back here/] },

  docs: { status: 200, heading: /reconsent API/ },
}

/** The reconnect page's one button. @param {import('playwright-core').Page} page */
export const reconnectButton = (page) => page.getByRole('button', { name: /^Continue to / })

/** Its other face, where the statement stands. @param {import('playwright-core').Page} page */
export const confirmButton = (page) => page.getByRole('button', { name: 'Confirm' })

/** On an expired link's page. @param {import('playwright-core').Page} page */
export const newLinkButton = (page) => page.getByRole('button', { name: 'Send me a new link' })

/** @param {import('playwright-core').Page} page */
export const stopButton = (page) => page.getByRole('button', { name: 'Stop the reminders' })

/** What a page that ended badly offers: one thing. @param {import('playwright-core').Page} page */
export const again = (page) => page.getByRole('main').locator('a, button')

/** What the page calls the account. @param {import('playwright-core').Page} page */
export const accountLabel = (page) => page.getByRole('definition').filter({ hasText: '••' }).locator('bdi')

/** The sandbox bank's pages. */
export const bank = {
  /** @param {import('playwright-core').Page} page @param {string} id */
  choice: (page, id) => page.getByRole('radio', { name: id }),
  /** @param {import('playwright-core').Page} page @param {string} label */
  field: (page, label) => page.getByLabel(label),
  next: (page) => page.getByRole('button', { name: 'Continue' }),
  /** @param {import('playwright-core').Page} page */
  login: (page) => page.getByRole('heading', { name: /^Sign in to Mock Bank$/ }),
  user: (page) => page.getByLabel('User name'),
  password: (page) => page.getByLabel('Password'),
  signIn: (page) => page.getByRole('button', { name: 'Sign in' }),
  allow: (page) => page.getByRole('button', { name: 'Allow access' }),
  /** The aggregator's own page, which a first link shows before the bank's. */
  share: (page) => page.getByRole('button', { name: 'Allow and continue' }),
  deny: (page) => page.getByRole('button', { name: /^(Deny|Cancel)$/ }),
}

/** What a mail shows. */
export const mail = {
  /** A link of a mail's HTML that leads to the reconnect page. @param {string} href */
  isReconnectLink: (href) => /^https?:\/\/[^/]+\/r\/[^/?#]+$/.test(href),
  /** @param {string} href */
  isUnsubscribeLink: (href) => /^https?:\/\/[^/]+\/u\/[^/?#]+$/.test(href),
  lapsed: { subject: /has stopped/i },
}
