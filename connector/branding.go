package connector

import (
	"fmt"
	"net/url"

	"github.com/reconsent/reconsent/consent"
)

// brandingFaults finds what mails and pages could not show.
func brandingFaults(b consent.Branding) []error {
	var faults []error
	if b.Colour != "" && !consent.ColourForm(b.Colour) {
		faults = append(faults, fmt.Errorf("colour %q: want #rrggbb, like #0b5cad", b.Colour))
	}
	if b.LogoURL != "" && !logoForm(b.LogoURL) {
		faults = append(faults, fmt.Errorf("logo %q: want an https address of at most 2000 bytes, without user info; mail readers show no other", b.LogoURL))
	}
	if b.ReplyTo != "" && checkEmail(b.ReplyTo) != nil {
		faults = append(faults, fmt.Errorf("reply address %q: want a single address, like support@example.org", b.ReplyTo))
	}
	return faults
}

const maxLogoURL = 2000

func logoForm(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && len(s) <= maxLogoURL && consent.ListableURI(s)
}
