package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knadh/koanf/parsers/yaml"

	"github.com/reconsent/reconsent/reauth"
	"github.com/reconsent/reconsent/reauth/stepup"
	"github.com/reconsent/reconsent/reauth/usertoken"
)

// reauthSetting is one row of the table of re-authentication settings: where it
// stands in a document, its flag where it has one, and how it is read and shown.
type reauthSetting struct {
	path  string // "" for a flag that is short for others
	flag  string
	about string
	in    func(*stepup.Settings) settingValue
}

// settingValue is one setting of a document at hand.
type settingValue interface {
	// show writes it for people, without secrets; empty for nothing.
	show() string
	// typed takes what was given on the command line, flag by flag.
	typed(texts []string) error
	// written takes what stands in a document.
	written(v any) error
}

var reauthSettings = []reauthSetting{
	{"identity.issuer", "issuer", "iss of the users' tokens", func(s *stepup.Settings) settingValue { return textValue{&s.Identity.Issuer} }},
	{"identity.audience", "audience", "aud of the users' tokens", func(s *stepup.Settings) settingValue { return textValue{&s.Identity.Audience} }},
	{"identity.algorithms", "algorithms", "algorithms that may sign them, for instance RS256 or ES256,EdDSA; with a secret HS256", func(s *stepup.Settings) settingValue { return listValue{&s.Identity.Algorithms} }},
	{"identity.jwks_url", "jwks-url", "https address of the keys that sign them; takes the place of a secret", func(s *stepup.Settings) settingValue { return textValue{&s.Identity.JWKSURL} }},
	{"identity.secret", "secret-file", "file with the secret that signs them, of at least 32 bytes; takes the place of a JWKS URL", func(s *stepup.Settings) settingValue { return secretValue{&s.Identity.Secret} }},
	{"", "trust", "what of a token is believed beyond who asks: auth_time, amr, fva; \"\" for nothing", func(s *stepup.Settings) settingValue { return trustValue{&s.Identity} }},
	{"identity.trust_auth_time", "", "", func(s *stepup.Settings) settingValue { return switchValue{&s.Identity.TrustAuthTime} }},
	{"identity.trust_amr", "", "", func(s *stepup.Settings) settingValue { return switchValue{&s.Identity.TrustAMR} }},
	{"identity.trust_fva", "", "", func(s *stepup.Settings) settingValue { return switchValue{&s.Identity.TrustFVA} }},
	{"identity.max_token_age", "max-token-age", "since iat, from when a token is too old, for instance 24h, the default", func(s *stepup.Settings) settingValue { return ageValue{&s.Identity.MaxTokenAge} }},
	{"operations", "operation", "NAME=LEVEL, what an operation takes, for instance transfer=strict or pay=sca; NAME= takes it away; may be repeated", func(s *stepup.Settings) settingValue { return operationsValue{&s.Operations} }},
	{"codes_off", "codes-off", "no codes by email_code, phone_code; \"\" for both again", func(s *stepup.Settings) settingValue { return factorsValue{&s.CodesOff} }},
	{"origins", "origin", "where pages that call from a browser are, for instance https://app.example.org; may be repeated; \"\" for none", func(s *stepup.Settings) settingValue { return listValue{&s.Origins} }},
	{"passkeys.rp_id", "rp-id", "domain of passkeys, for instance example.org", func(s *stepup.Settings) settingValue { return textValue{&s.Passkeys.RPID} }},
	{"passkeys.origins", "passkey-origin", "where pages that ask for a passkey are; may be repeated", func(s *stepup.Settings) settingValue { return listValue{&s.Passkeys.Origins} }},
	{"openid.issuer", "openid-issuer", "OpenID provider that users can be sent to, to sign in anew", func(s *stepup.Settings) settingValue { return textValue{&s.OpenID.Issuer} }},
	{"openid.client_id", "openid-client-id", "client id there", func(s *stepup.Settings) settingValue { return textValue{&s.OpenID.ClientID} }},
	{"openid.client_secret", "openid-client-secret-file", "file with its secret", func(s *stepup.Settings) settingValue { return secretValue{&s.OpenID.ClientSecret} }},
	{"openid.scopes", "openid-scopes", "scopes beside openid", func(s *stepup.Settings) settingValue { return listValue{&s.OpenID.Scopes} }},
	{"sms_per_day", "sms-per-day", "codes by SMS a UTC day, for all users together; 0 for the default", func(s *stepup.Settings) settingValue { return budgetValue{&s.SMSPerDay} }},
}

// fileSuffix ends a key that names a file in the place of a secret.
const fileSuffix = "_file"

// readReauthSettings reads a document of settings, YAML or JSON, over what is
// set already, and reports every fault at once. Files that it names are looked
// for beside it.
func readReauthSettings(path string, set stepup.Settings) (stepup.Settings, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return set, err
	}
	doc, err := yaml.Parser().Unmarshal(b) // JSON is YAML
	if err != nil {
		return set, fmt.Errorf("neither YAML nor JSON: %w", err)
	}
	var faults []error
	given := flattened("", doc)
	for _, key := range slices.Sorted(maps.Keys(given)) {
		name, isFile := strings.CutSuffix(key, fileSuffix)
		row := reauthSettingAt(name)
		var v settingValue
		if row != nil {
			v = row.in(&set)
		}
		_, isSecret := v.(secretValue)
		switch {
		case isFile && isSecret && given[name] != nil:
			err = fmt.Errorf("%s and %s exclude each other", name, key)
		case isFile && isSecret:
			err = inDocument(key, readSecret(v, filepath.Dir(path), given[key]))
		case isFile || row == nil:
			err = fmt.Errorf("%s: no such setting; 'reconsent app reauth --help' lists them", key)
		default:
			err = inDocument(key, v.written(given[key]))
		}
		faults = append(faults, err)
	}
	return set, errors.Join(faults...)
}

func inDocument(key string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

func reauthSettingAt(path string) *reauthSetting {
	i := slices.IndexFunc(reauthSettings, func(r reauthSetting) bool { return r.path == path })
	if path == "" || i < 0 {
		return nil
	}
	return &reauthSettings[i]
}

// flattened names the entries of sections by their path. The names of
// operations are people's own, and stay where they are.
func flattened(section string, doc map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range doc {
		inner, isMap := v.(map[string]any)
		if isMap && section == "" && reauthSettingAt(key) == nil {
			maps.Copy(out, flattened(key+".", inner))
		} else {
			out[section+key] = v
		}
	}
	return out
}

func readSecret(v settingValue, dir string, name any) error {
	file, ok := name.(string)
	if !ok || file == "" {
		return errors.New("want the name of a file")
	}
	if !filepath.IsAbs(file) {
		file = filepath.Join(dir, file)
	}
	return v.typed([]string{file})
}

type textValue struct{ at *string }

func (v textValue) show() string { return *v.at }

func (v textValue) typed(texts []string) error { return v.written(texts[len(texts)-1]) }

func (v textValue) written(x any) error {
	s, ok := x.(string)
	if !ok {
		return errors.New("want text")
	}
	*v.at = s
	return nil
}

// secretValue is named by a file on the command line, where others could see
// it.
type secretValue struct{ at *string }

func (v secretValue) show() string {
	if *v.at == "" {
		return "not set"
	}
	return "set"
}

func (v secretValue) typed(files []string) error {
	file := files[len(files)-1]
	if file == "" {
		*v.at = ""
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if *v.at = strings.TrimRight(string(b), "\r\n"); *v.at == "" {
		return fmt.Errorf("%s is empty", file)
	}
	return nil
}

func (v secretValue) written(x any) error { return textValue(v).written(x) }

type listValue struct{ at *[]string }

func (v listValue) show() string { return strings.Join(*v.at, " ") }

func (v listValue) typed(texts []string) error {
	*v.at = nil
	for _, text := range texts {
		for item := range strings.SplitSeq(text, ",") {
			if item = strings.TrimSpace(item); item != "" {
				*v.at = append(*v.at, item)
			}
		}
	}
	return nil
}

func (v listValue) written(x any) error {
	items, ok := x.([]any)
	if !ok {
		return errors.New("want a list")
	}
	*v.at = nil
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return errors.New("want a list of texts")
		}
		*v.at = append(*v.at, s)
	}
	return nil
}

type factorsValue struct{ at *[]reauth.Factor }

func (v factorsValue) list() []string {
	var list []string
	for _, f := range *v.at {
		list = append(list, string(f))
	}
	return list
}

func (v factorsValue) take(list []string, err error) error {
	*v.at = nil
	for _, s := range list {
		*v.at = append(*v.at, reauth.Factor(s))
	}
	return err
}

func (v factorsValue) show() string { return strings.Join(v.list(), " ") }

func (v factorsValue) typed(texts []string) error {
	var list []string
	err := listValue{&list}.typed(texts)
	return v.take(list, err)
}

func (v factorsValue) written(x any) error {
	var list []string
	err := listValue{&list}.written(x)
	return v.take(list, err)
}

type switchValue struct{ at *bool }

func (v switchValue) show() string { return strconv.FormatBool(*v.at) }

func (v switchValue) typed([]string) error { return errors.New("has no flag") }

func (v switchValue) written(x any) error {
	on, ok := x.(bool)
	if !ok {
		return errors.New("want true or false")
	}
	*v.at = on
	return nil
}

type ageValue struct{ at *time.Duration }

func (v ageValue) show() string {
	if *v.at == 0 {
		return inHours(usertoken.DefaultMaxTokenAge) + " (default)"
	}
	return inHours(*v.at)
}

// inHours drops the zeros that a duration's own text ends with.
func inHours(d time.Duration) string {
	text := strings.TrimSuffix(d.String(), "0s")
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	if text == "" || strings.ContainsAny(text[len(text)-1:], "0123456789") {
		return d.String()
	}
	return text
}

func (v ageValue) typed(texts []string) error { return v.written(texts[len(texts)-1]) }

func (v ageValue) written(x any) error {
	s, _ := x.(string)
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return errors.New(`want a duration, like "24h" or "90m"`)
	}
	*v.at = d
	return nil
}

type budgetValue struct{ at *int }

func (v budgetValue) show() string {
	if *v.at == 0 {
		return strconv.Itoa(stepup.DefaultSMSPerDay) + " (default)"
	}
	return strconv.Itoa(*v.at)
}

func (v budgetValue) typed(texts []string) error {
	n, err := strconv.Atoi(texts[len(texts)-1])
	if err != nil {
		return errors.New("want a whole number")
	}
	*v.at = n
	return nil
}

func (v budgetValue) written(x any) error { return v.typed([]string{fmt.Sprint(x)}) }

type operationsValue struct{ at *map[string]string }

func (v operationsValue) show() string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(*v.at)) {
		list = append(list, name+"="+(*v.at)[name])
	}
	return strings.Join(list, " ")
}

// typed changes the operations that are named, and leaves the rest.
func (v operationsValue) typed(texts []string) error {
	all := maps.Clone(*v.at)
	if all == nil {
		all = map[string]string{}
	}
	for _, text := range texts {
		name, level, found := strings.Cut(text, "=")
		if !found || name == "" {
			return fmt.Errorf("%q: want NAME=LEVEL", text)
		}
		if all[name] = level; level == "" {
			delete(all, name)
		}
	}
	*v.at = all
	return nil
}

func (v operationsValue) written(x any) error {
	doc, ok := x.(map[string]any)
	if !ok {
		return errors.New("want levels by name, like transfer: strict")
	}
	*v.at = map[string]string{}
	for name, level := range doc {
		text, ok := level.(string)
		if !ok {
			return fmt.Errorf("%s: want the name of a level", name)
		}
		(*v.at)[name] = text
	}
	return nil
}

// trustValue is three switches as one list.
type trustValue struct{ at *stepup.Identity }

func (v trustValue) show() string { return "" }

func (v trustValue) typed(texts []string) error {
	var list []string
	if err := (listValue{&list}).typed(texts); err != nil {
		return err
	}
	for _, s := range list {
		if s != "auth_time" && s != "amr" && s != "fva" {
			return fmt.Errorf("%q is none of auth_time, amr, fva", s)
		}
	}
	v.at.TrustAuthTime, v.at.TrustAMR, v.at.TrustFVA = slices.Contains(list, "auth_time"), slices.Contains(list, "amr"), slices.Contains(list, "fva")
	return nil
}

func (v trustValue) written(any) error {
	return errors.New("stands in a document as trust_auth_time, trust_amr and trust_fva")
}
