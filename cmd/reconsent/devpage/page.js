'use strict';
(() => {
  const $ = (id) => document.getElementById(id);
  const value = (id) => $(id).value.trim();
  let reverification = null; // as the service last told it
  let strategy = '';         // that is being answered
  let pending = null;        // factor that waits for its first use

  const say = (id, text, good) => {
    $(id).textContent = text;
    $(id).className = 'say ' + (good ? 'good' : 'bad');
  };
  const show = (id, on) => { $(id).hidden = !on; };
  const pretty = (v) => JSON.stringify(v, null, 2);

  // claims reads a JWT without verifying it: that is the service's to do.
  const claims = (jwt) => {
    try {
      const text = atob(jwt.split('.')[1].replace(/-/g, '+').replace(/_/g, '/'));
      return JSON.parse(new TextDecoder().decode(Uint8Array.from(text, (c) => c.charCodeAt(0))));
    } catch { return null; }
  };
  const showClaims = (from, to) => {
    const c = claims(value(from));
    show(to, c !== null);
    $(to).textContent = c ? pretty(c) : '';
  };

  // shortened keeps what is long from filling the list of calls.
  const shortened = (key, v) => (typeof v === 'string' && v.length > 90 ? v.slice(0, 60) + '…' : v);
  const calls = [];
  const log = (line) => {
    calls.unshift(line);
    calls.length = Math.min(calls.length, 12);
    $('wire').textContent = calls.join('\n\n');
  };

  // call answers {status, body, headers}; a failure to reach the service throws.
  const call = async (method, path, body, headers = {}) => {
    const init = { method, headers: { Authorization: 'Bearer ' + value('token'), ...headers }, cache: 'no-store' };
    if (body !== undefined) {
      init.headers['Content-Type'] = 'application/json';
      init.body = JSON.stringify(body);
    }
    const r = await fetch(path, init);
    const text = await r.text();
    let answer = null;
    try { answer = text ? JSON.parse(text) : null; } catch { answer = text; }
    log(method + ' ' + path + (body === undefined ? '' : '\n' + JSON.stringify(body, hideSecrets)) +
      '\n→ ' + r.status + (answer === null ? '' : ' ' + JSON.stringify(answer, shortened, 1)));
    return { status: r.status, ok: r.ok, body: answer, headers: r.headers };
  };
  const hideSecrets = (key, v) => (key === 'password' ? '…' : shortened(key, v));
  const reason = (r) => {
    const b = r.body || {};
    let text = (b.detail || b.error_description || b.title || 'The service answered ' + r.status + '.');
    if (b.attempts_left !== undefined) text += ' Tries left: ' + b.attempts_left + '.';
    if (r.headers.get('Retry-After')) text += ' Wait ' + r.headers.get('Retry-After') + ' seconds.';
    return text;
  };

  // on runs a handler, one at a time for its element, and shows what throws.
  const on = (element, event, where, handle) => {
    let busy = false;
    element.addEventListener(event, async (e) => {
      e.preventDefault();
      if (busy) return;
      busy = true;
      try { await handle(e); } catch (err) { say(where, String(err && err.message || err), false); }
      busy = false;
    });
  };

  // 1. Who is asking
  on($('sign-form'), 'submit', 'who-say', async () => {
    const r = await fetch('/dev/token', {
      method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ user: value('user'), session: value('session') }),
    });
    const body = await r.json();
    if (!r.ok) { say('who-say', body.detail, false); return; }
    $('token').value = body.token;
    showClaims('token', 'token-claims');
    say('who-say', 'Signed for ' + value('user') + ', good for a day.', true);
    await messages();
  });
  $('token').addEventListener('input', () => showClaims('token', 'token-claims'));

  // 2. Proven enough?
  on($('check-form'), 'submit', 'check-say', async () => {
    const r = await call('GET', '/reauthenticate?level=' + encodeURIComponent(value('check-level')));
    say('check-say', r.ok ? 'Yes, until ' + r.body.valid_until + '.' : reason(r), r.ok);
    const head = ['RateLimit', 'RateLimit-Policy', 'Retry-After', 'WWW-Authenticate'].filter((n) => r.headers.get(n)).map((n) => n + ': ' + r.headers.get(n));
    $('check-result').textContent = [r.status, ...head, '', pretty(r.body)].join('\n');
    show('check-result', true);
  });

  // 3. Prove it
  const words = {
    needs_first_factor: 'A first factor is needed.', needs_second_factor: 'A second factor is needed.', complete: 'Complete.',
  };
  const names = {
    password: 'Password', email_code: 'Code by mail', phone_code: 'Code by SMS', passkey: 'Passkey', idp: 'Identity provider',
    totp: 'Authenticator app', backup_code: 'Backup code',
  };
  const labels = {
    password: 'Password', email_code: 'Code from the mail', phone_code: 'Code from the SMS', totp: 'Code of the app', backup_code: 'Backup code',
  };

  const render = () => {
    const rv = reverification;
    show('rv', rv !== null);
    show('attempt-form', false);
    if (!rv) return;
    $('rv').dataset.status = rv.status;
    $('rv-status').textContent = words[rv.status] || rv.status;
    $('rv-about').textContent = rv.level + (rv.operation ? ', for ' + rv.operation : '') + ', until ' + rv.expires_at;
    const d = rv.details;
    show('rv-details', Boolean(d));
    $('rv-details').textContent = d ? 'Pay ' + [d.amount, d.currency].filter(Boolean).join(' ') + (d.payee ? ' to ' + d.payee : '') : '';
    const done = rv.status === 'complete';
    show('rv-next', !done);
    const list = $('rv-strategies');
    list.replaceChildren();
    if (done) return;
    const add = (role, f) => {
      const b = document.createElement('button');
      b.type = 'button';
      b.id = 'strategy-' + role + '-' + f.strategy;
      b.className = 'plain';
      b.dataset.strategy = f.strategy;
      b.dataset.role = role;
      b.textContent = (names[f.strategy] || f.strategy) + (f.safe_identifier ? ' ' + f.safe_identifier : '');
      on(b, 'click', 'rv-say', () => choose(f.strategy));
      list.append(b);
    };
    const any = rv.level === 'sca'; // in either role, and in any order
    if (any || rv.status === 'needs_first_factor') rv.first_factors.forEach((f) => add('first', f));
    if (any || rv.status === 'needs_second_factor') rv.second_factors.forEach((f) => add('second', f));
  };

  on($('begin-form'), 'submit', 'rv-say', () => begin(value('rv-level'), value('rv-operation'), payment()));

  // payment is what is about to be paid, as far as it was filled in.
  const payment = () => {
    const details = {};
    for (const key of ['payee', 'amount', 'currency']) {
      if (value('rv-' + key)) details[key] = value('rv-' + key);
    }
    return details;
  };
  const begin = async (level, operation, details) => {
    const body = { level };
    if (operation) body.operation = operation;
    if (Object.keys(details).length) body.details = details;
    const r = await call('POST', '/v1/reverifications', body);
    reverification = r.ok ? r.body : null;
    render();
    if (r.ok) finish(r.body); else say('rv-say', reason(r), false);
  };

  // finish takes the proof where there is one.
  const finish = (rv) => {
    say('rv-say', words[rv.status] || rv.status, true);
    if (rv.proof) {
      $('proof').value = rv.proof;
      showClaims('proof', 'proof-claims');
    }
  };

  const choose = async (chosen) => {
    strategy = chosen;
    let prepared = null;
    if (['email_code', 'phone_code', 'passkey', 'idp'].includes(chosen)) {
      const r = await call('POST', '/v1/reverifications/' + reverification.id + '/prepare', { strategy: chosen });
      if (!r.ok) { say('rv-say', reason(r), false); return; }
      prepared = r.body;
    }
    if (chosen === 'idp') { window.open(prepared.url, '_blank', 'noopener'); say('rv-say', 'Sign in there, then choose again.', true); return; }
    if (chosen === 'passkey') {
      const credential = await navigator.credentials.get({ publicKey: requestOptions(prepared.options) });
      await attempt({ strategy, credential: credentialJSON(credential) });
      return;
    }
    $('attempt-label').textContent = labels[chosen];
    $('attempt-value').type = chosen === 'password' ? 'password' : 'text';
    $('attempt-value').value = '';
    show('attempt-form', true);
    $('attempt-value').focus();
    say('rv-say', prepared && prepared.sent_to ? 'Sent to ' + prepared.sent_to + '.' : '', true);
    if (prepared) await messages();
  };

  const attempt = async (answer) => {
    const r = await call('POST', '/v1/reverifications/' + reverification.id + '/attempt', answer);
    if (!r.ok) { say('rv-say', reason(r), false); return; }
    reverification = { ...reverification, ...r.body };
    render();
    finish(reverification);
  };
  on($('attempt-form'), 'submit', 'rv-say', () => {
    const typed = $('attempt-value').value;
    return attempt(strategy === 'password' ? { strategy, password: typed } : { strategy, code: typed });
  });

  // 4. The proof
  $('proof').addEventListener('input', () => showClaims('proof', 'proof-claims'));

  // 5. Factors
  const proofHeader = () => (value('proof') ? { 'Reverification-Proof': value('proof') } : {});
  const factors = async () => {
    const r = await call('GET', '/v1/factors');
    if (!r.ok) { say('factors-say', reason(r), false); return; }
    $('factors').replaceChildren(...r.body.factors.map((f) => {
      const li = document.createElement('li');
      li.className = 'line';
      li.dataset.factor = f.id;
      li.dataset.type = f.type;
      li.dataset.status = f.status;
      const text = document.createElement('span');
      text.textContent = f.type + (f.phone ? ' ' + f.phone : '') + (f.left === undefined ? '' : ', ' + f.left + ' left') + ', ' + f.status;
      const remove = document.createElement('button');
      remove.type = 'button';
      remove.className = 'plain';
      remove.dataset.remove = f.id;
      remove.textContent = 'Remove';
      on(remove, 'click', 'factors-say', async () => {
        const gone = await call('DELETE', '/v1/factors/' + encodeURIComponent(f.id), undefined, proofHeader());
        say('factors-say', gone.ok ? 'Removed.' : reason(gone), gone.ok);
        if (gone.ok) await factors();
      });
      li.append(text, remove);
      return li;
    }));
    if (!r.body.factors.length) say('factors-say', 'None enrolled yet.', true);
  };
  on($('factors-load'), 'click', 'factors-say', factors);
  on($('factors-prove'), 'click', 'factors-say', async () => {
    await begin('strict_mfa', 'factors', {});
    $('h-prove').scrollIntoView({ behavior: 'smooth' });
  });

  for (const button of document.querySelectorAll('[data-enrol]')) {
    on(button, 'click', 'factors-say', async () => {
      const kind = button.dataset.enrol;
      show('totp', false); show('verify-form', false); show('backup-codes', false);
      const body = kind === 'phone' && value('enrol-number') ? { phone: value('enrol-number') } : {};
      const r = await call('POST', '/v1/factors/' + kind, body, proofHeader());
      if (!r.ok) { say('factors-say', reason(r), false); return; }
      pending = r.body;
      say('factors-say', 'Begun. It counts from its first verified use.', true);
      if (kind === 'totp') {
        $('totp-qr').src = 'data:image/png;base64,' + pending.qr_png;
        $('totp-secret').textContent = pending.secret;
        show('totp', true);
        askCode('Code that the app shows');
      } else if (kind === 'phone') {
        askCode('Code sent to ' + pending.sent_to);
        await messages();
      } else if (kind === 'passkey') {
        const credential = await navigator.credentials.create({ publicKey: creationOptions(pending.options) });
        await verify({ strategy: 'passkey', credential: credentialJSON(credential) });
      } else {
        $('backup-codes').replaceChildren(...pending.codes.map((code) => {
          const li = document.createElement('li');
          li.textContent = code;
          return li;
        }));
        show('backup-codes', true);
        say('factors-say', 'Each is good once. They are shown now and never again.', true);
        await factors();
      }
    });
  }
  const askCode = (label) => {
    $('verify-label').textContent = label;
    $('verify-code').value = '';
    show('verify-form', true);
    $('verify-code').focus();
  };
  const verify = async (answer) => {
    const r = await call('POST', '/v1/factors/' + encodeURIComponent(pending.id) + '/verify', answer);
    if (!r.ok) { say('factors-say', reason(r), false); return; }
    show('totp', false); show('verify-form', false);
    await factors();
    say('factors-say', 'It counts now.', true);
  };
  on($('verify-form'), 'submit', 'factors-say', () => verify({ strategy: pending.type === 'phone' ? 'phone_code' : 'totp', code: $('verify-code').value }));

  // What the user was sent
  const messages = async () => {
    const who = claims(value('token'));
    const r = await fetch('/dev/messages?user=' + encodeURIComponent(who && who.sub || value('user')), { cache: 'no-store' });
    const list = (await r.json()).messages || [];
    $('messages').replaceChildren(...list.map((m) => {
      const li = document.createElement('li');
      li.dataset.channel = m.channel;
      const head = document.createElement('strong');
      head.textContent = (m.channel === 'sms' ? 'SMS' : 'Mail') + ' to ' + m.to + (m.subject ? ': ' + m.subject : '');
      const text = document.createElement('pre');
      text.textContent = m.text;
      li.append(head, text);
      return li;
    }));
    if (!list.length) $('messages').textContent = 'Nothing yet.';
  };
  on($('messages-load'), 'click', 'who-say', messages);

  // WebAuthn in JSON, by the browser where it can (WebAuthn Level 3, 5.1)
  const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0));
  const base64url = (b) => btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const described = (list) => (list || []).map((c) => ({ ...c, id: bytes(c.id) }));
  const creationOptions = (o) => (window.PublicKeyCredential && PublicKeyCredential.parseCreationOptionsFromJSON
    ? PublicKeyCredential.parseCreationOptionsFromJSON(o)
    : { ...o, challenge: bytes(o.challenge), user: { ...o.user, id: bytes(o.user.id) }, excludeCredentials: described(o.excludeCredentials) });
  const requestOptions = (o) => (window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON
    ? PublicKeyCredential.parseRequestOptionsFromJSON(o)
    : { ...o, challenge: bytes(o.challenge), allowCredentials: described(o.allowCredentials) });
  const credentialJSON = (c) => {
    if (c.toJSON) return c.toJSON();
    const r = c.response;
    const response = { clientDataJSON: base64url(r.clientDataJSON) };
    for (const key of ['attestationObject', 'authenticatorData', 'signature', 'userHandle']) {
      if (r[key]) response[key] = base64url(r[key]);
    }
    if (r.getTransports) response.transports = r.getTransports();
    return { id: c.id, rawId: base64url(c.rawId), type: c.type, response, clientExtensionResults: c.getClientExtensionResults() };
  };

  if (location.hostname !== 'localhost') {
    $('passkey-link').href = $('passkey-link').textContent = 'http://localhost' + (location.port ? ':' + location.port : '') + location.pathname;
    show('passkey-note', true);
  }
})();
