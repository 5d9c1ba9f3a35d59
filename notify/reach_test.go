package notify

import "github.com/reconsent/reconsent/consent"

func (links) UnsubscribeLink(app *consent.Application, userID string) (string, error) {
	return "https://consents.example/u/" + app.Slug + "." + userID, nil
}
