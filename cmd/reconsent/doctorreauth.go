package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/internal/outbound"
	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/idp"
	"github.com/reconsent/reconsent/reauth/stepup"
)

// What a document of published keys may take to come, and be long.
const (
	keysTimeout = 10 * time.Second
	keysMaxBody = 1 << 20 // bytes
)

// reauth looks at how users prove themselves again.
func (d *doctor) reauth(ctx context.Context, sys *system, c config, apps []consent.Application) {
	client := outbound.NewTargets(d.dev).Client(outbound.Config{Timeout: keysTimeout, MaxBody: keysMaxBody})
	defer client.CloseIdleConnections()
	owners := map[[2]string][]string{} // short names by issuer and audience
	used := false
	for i := range apps {
		set, err := sys.reauth.ReadSettings(ctx, apps[i].ID)
		switch {
		case errors.Is(err, consent.ErrNotFound):
			d.ok("application %s: no re-authentication; 'reconsent app reauth %s' sets it up", apps[i].Slug, apps[i].Slug)
			continue
		case err != nil:
			d.fail("application %s, re-authentication: settings cannot be opened: %v (sealed under other keys?)", apps[i].Slug, err)
			continue
		}
		used = true
		about := "application " + apps[i].Slug + ", re-authentication"
		d.users(ctx, sys, c, client, about, &set)
		if pair := [2]string{set.Identity.Issuer, set.Identity.Audience}; pair[0] != "" {
			owners[pair] = append(owners[pair], apps[i].Slug)
		}
	}
	for _, slugs := range owners {
		if len(slugs) > 1 {
			d.warn("applications %s have the same issuer and audience: their users' calls have to name the application", strings.Join(slugs, ", "))
		}
	}
	if used {
		d.proofKeys(ctx, sys)
	}
}

// users looks at one application's settings.
func (d *doctor) users(ctx context.Context, sys *system, c config, client *http.Client, about string, set *stepup.Settings) {
	if err := sys.reauth.CheckSettings(*set); err != nil {
		for fault := range strings.SplitSeq(err.Error(), "\n") {
			d.fail("%s: %s", about, fault)
		}
		return
	}
	if address := set.Identity.JWKSURL; address == "" {
		d.ok("%s: tokens of %s, signed with a shared secret", about, cmp.Or(set.Identity.Issuer, "any issuer"))
	} else if n, err := fetchKeys(ctx, client, address); err != nil {
		d.fail("%s: the keys at %s cannot be had: %v; until then no user is let in", about, address, err)
	} else {
		d.ok("%s: tokens of %s, %d published keys at %s", about, set.Identity.Issuer, n, address)
	}
	for _, o := range set.Passkeys.Origins {
		if !(&stepup.Tenant{Settings: *set}).AllowsOrigin(o) {
			d.warn("%s: passkeys are asked for at %s, which is not among origins: pages there cannot call from the browser", about, o)
		}
	}
	if c.smtpURL == "" && !slices.Contains(set.CodesOff, reauth.EmailCode) {
		d.warn("%s: codes by mail are on, but there is no smtp-url; nobody is told of a lock or a changed factor either", about)
	}
	if set.OpenID.Issuer != "" {
		d.openID(ctx, sys, about, set)
	}
}

func (d *doctor) openID(ctx context.Context, sys *system, about string, set *stepup.Settings) {
	p := &idp.Provider{
		Issuer: set.OpenID.Issuer, ClientID: set.OpenID.ClientID, ClientSecret: set.OpenID.ClientSecret, Scopes: set.OpenID.Scopes,
		RedirectURI: sys.reauth.BaseURL + stepup.PathReturn,
	}
	if err := p.Validate(d.dev); err != nil { // the rest of it was looked at above
		d.fail("%s, OpenID: %v: --base-url is where %s sends people back to", about, err, p.Issuer)
		return
	}
	if _, err := sys.reauth.Identity.Start(ctx, p, ""); err != nil {
		d.fail("%s, OpenID: %s cannot be asked: %v", about, p.Issuer, err)
		return
	}
	d.ok("%s, OpenID: %s answers; the redirect_uri to be registered there is %s", about, p.Issuer, p.RedirectURI)
}

func (d *doctor) proofKeys(ctx context.Context, sys *system) {
	keys, err := sys.store.ListProofKeys(ctx)
	if err == nil {
		err = sys.reauth.CheckKeys(ctx)
	}
	switch {
	case err != nil:
		d.fail("keys that sign proofs: %v", err)
	case len(keys) == 0:
		d.ok("keys that sign proofs: none yet; the first one is made when it is needed")
	default:
		newest := keys[len(keys)-1]
		d.ok("keys that sign proofs: %d, the newest signs from %s", len(keys), newest.ActiveAt.Format(time.RFC3339))
		if sys.now().Sub(newest.CreatedAt) > 2*stepup.RotateEvery {
			d.warn("keys that sign proofs: the newest is from %s; 'serve' brings one every %d days: is it running?", newest.CreatedAt.Format(time.DateOnly), int(stepup.RotateEvery.Hours())/24)
		}
	}
}

// fetchKeys reads a JWK Set (RFC 7517 5) and says how many keys it has.
func fetchKeys(ctx context.Context, client *http.Client, address string) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return 0, fmt.Errorf("answered %s", resp.Status)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil || len(set.Keys) == 0 {
		return 0, errors.New("what is there is no JWK Set with keys in it")
	}
	return len(set.Keys), nil
}
