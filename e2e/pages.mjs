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
const nothingLost = /as it was|nothing has changed/i

/** @type {Record<string, PageText>} */
export const pages = {
  // Of a link that leads to the bank.
  reconnectLapsing: { status: 200, heading: /^Keep Mock Bank connected$/, says: [/Demo Budget/, /Mock Bank/, /Current account ••\d{4}/, /Access until/, /\d{4}/], never: [/stopped/i] },
  reconnectLapsed: { status: 200, heading: /^Reconnect Mock Bank$/, says: [/Demo Budget/, /Access stopped/, /Current account ••\d{4}/], never: [/Access until/] },
  reconnectUnrenewable: { status: 200, heading: /^Reconnect Mock Bank$/, says: [/Access stopped/] },
  // As above, of a consent that no bank has told us anything of yet.
  reconnectUnknownBank: { status: 200, heading: /^Reconnect your bank$/, says: [/Access stopped/] },

  // Of a link that leads nowhere any more.
  alreadyRenewed: { status: 200, heading: /already connected/i, says: [/nothing to do/i, /until \d+ \w+ \d{4}/] },
  linkExpired: { status: 410, heading: /link has expired/i },
  ended: { status: 410, heading: /has ended/i },
  unknownLink: { status: 404, heading: /do not know this link/i, never: [/Demo Budget/, /Mock Bank/] },
  erased: { status: 404, heading: /do not know this link/i, never: [/Mock Bank/, /••/] },

  // Results.
  renewed: { status: 200, heading: /^Mock Bank is connected$/, says: [/works until \d+ \w+ \d{4}/] },
  linkedGerman: { status: 200, heading: /^Mock Sparkasse is connected$/ },
  pending: { status: 200, heading: /almost done/i, says: [/go back to the app/i] },
  denied: { status: 200, heading: /you said no/i, says: [nothingLost] },
  otherLogin: { status: 409, heading: /another bank login/i, says: [/Current account ••\d{4}/, nothingLost], never: [/••\d{5}/] },
  bankTrouble: { status: 200, heading: /bank had a problem/i, says: [nothingLost, /not your fault/i], never: [/you said no|cancel/i] },
  bankAway: { status: 503, heading: /bank does not answer/i, says: [nothingLost, /nothing wrong/i] },
  tooLate: { status: 410, heading: /took too long/i, says: [nothingLost] },
  callbackIncomplete: { status: 400, heading: /not complete/i, says: [nothingLost] },
  stateUnknown: { status: 400, heading: /do not know this link/i, says: [nothingLost] },

  docs: { status: 200, heading: /reconsent API/ },
}

/** The reconnect page's one button. @param {import('playwright-core').Page} page */
export const reconnectButton = (page) => page.getByRole('button', { name: /^Continue to / })

/** What the page calls the account. @param {import('playwright-core').Page} page */
export const accountLabel = (page) => page.getByRole('definition').filter({ hasText: '••' })

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
  lapsed: { subject: /has stopped/i },
}
