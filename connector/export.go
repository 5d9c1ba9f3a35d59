package connector

import (
	"context"
	"errors"

	"github.com/reconsent/reconsent/consent"
)

const exportPage = 1000

// Export hands every consent that is in force to each, oldest first, with its
// user's address, and its refresh token where that is asked for.
func (c *Connector) Export(ctx context.Context, app *consent.Application, withTokens bool, each func(con consent.Consent, email, token string) error) error {
	f := consent.ListFilter{Now: c.now(), Limit: exportPage}
	for {
		page, err := c.registry.ListConsents(ctx, app.ID, f)
		if err != nil {
			return err
		}
		for i := range page {
			con := &page[i]
			if con.Pending || !con.RevokedAt.IsZero() {
				continue
			}
			if err := c.export(ctx, con, withTokens, each); err != nil {
				return err
			}
		}
		if len(page) < exportPage {
			return nil
		}
		last := page[len(page)-1]
		f.AfterCreated, f.AfterID = last.CreatedAt, last.ID
	}
}

func (c *Connector) export(ctx context.Context, con *consent.Consent, withTokens bool, each func(con consent.Consent, email, token string) error) error {
	u, err := c.registry.User(ctx, con.ApplicationID, con.UserID)
	if err != nil && !errors.Is(err, consent.ErrNotFound) {
		return err
	}
	token := ""
	if withTokens {
		if token, err = c.unseal(con.Tokens.Refresh, con.ID); err != nil {
			return err
		}
	}
	return each(*con, u.Email, token)
}
