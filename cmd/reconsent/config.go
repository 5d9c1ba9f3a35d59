package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/mail"
	"net/url"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/knadh/koanf/parsers/yaml"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/providers/posflag"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"

	"github.com/reconsent/reconsent/api"
	"github.com/reconsent/reconsent/notify/email"
	"github.com/reconsent/reconsent/notify/sms"
	"github.com/reconsent/reconsent/scheduler"
	"github.com/reconsent/reconsent/seal"
)

// config is the configuration of every command that works on a registry. A
// flag wins over the environment (RECONSENT_DATABASE_URL, ...), which wins over
// the file that --config names.
type config struct {
	databaseURL string
	keys        string // JSON, see package seal
	addr        string
	baseURL     string
	proxies     string // comma-separated
	logLevel    string

	sweepSchedule string
	smtpURL       string
	mailFrom      string
	smsURL        string
	smsBody       string
	smsHeader     string
}

// setting is one row of the configuration table. Any of them can also be read
// from the file that RECONSENT_<NAME>_FILE names.
type setting struct {
	name     string
	fallback string
	about    string
	into     func(*config) *string
	check    func(string) error
}

var settings = []setting{
	{"database-url", "", "registry: postgres://... or sqlite:PATH", func(c *config) *string { return &c.databaseURL }, checkDatabaseURL},
	{"keys", "", "sealing keys as JSON, made by 'reconsent keys new'; better as RECONSENT_KEYS_FILE", func(c *config) *string { return &c.keys }, checkKeys},
	{"addr", "127.0.0.1:8080", "address to listen on", func(c *config) *string { return &c.addr }, checkAddr},
	{"base-url", "http://127.0.0.1:8080", "address at which browsers reach this service", func(c *config) *string { return &c.baseURL }, checkBaseURL},
	{"trusted-proxies", "", "addresses or networks of the proxies in front, comma-separated, for instance 10.0.0.0/8: only their word on a caller's address (X-Forwarded-For) is taken; without it nobody's is", func(c *config) *string { return &c.proxies }, checkProxies},
	{"sweep-schedule", "* * * * *", "when to look for what is due: five fields of cron, in UTC, or @every 1m", func(c *config) *string { return &c.sweepSchedule }, checkSchedule},
	{"smtp-url", "", "mail server, smtp://user:password@host:587 or smtps://...; without it nobody is mailed; better as RECONSENT_SMTP_URL_FILE", func(c *config) *string { return &c.smtpURL }, checkSMTP},
	{"mail-from", "reconsent <reconsent@localhost>", "sender of mail", func(c *config) *string { return &c.mailFrom }, checkSender},
	{"sms-url", "", "SMS: twilio://ACCOUNT_SID:AUTH_TOKEN@FROM, or https://... of a gateway; without it nobody gets an SMS; better as RECONSENT_SMS_URL_FILE", func(c *config) *string { return &c.smsURL }, checkSMS},
	{"sms-body", "", "what a gateway is sent, a Go template of .To, .Text and .ID, for instance " + sms.DefaultBody + ", which is the default", func(c *config) *string { return &c.smsBody }, sms.CheckBody},
	{"sms-header", "", "headers for a gateway, a line each, templates too: \"Authorization: Bearer ...\", \"Idempotency-Key: {{.ID}}\"; better as RECONSENT_SMS_HEADER_FILE", func(c *config) *string { return &c.smsHeader }, sms.CheckHeader},
	{"log-level", "info", "debug, info, warn or error", func(c *config) *string { return &c.logLevel }, checkLevel},
}

// addSettings gives a command the flags of the named settings.
func addSettings(cmd *cobra.Command, names ...string) {
	cmd.Flags().String("config", "", "YAML file with any of the settings")
	for _, s := range settings {
		if slices.Contains(names, s.name) {
			cmd.Flags().String(s.name, s.fallback, s.about)
		}
	}
}

func isSetting(name string) bool {
	return slices.ContainsFunc(settings, func(s setting) bool { return s.name == name })
}

// loadConfig reads the settings that the command has, and reports every fault
// at once.
func loadConfig(cmd *cobra.Command) (config, error) {
	k := koanf.New(".")
	if path, _ := cmd.Flags().GetString("config"); path != "" {
		if err := k.Load(file.Provider(path), yaml.Parser()); err != nil {
			return config{}, usagef("--config %s: %w", path, err)
		}
	}
	var faults []error
	for _, key := range k.Keys() {
		if !slices.ContainsFunc(settings, func(s setting) bool { return key == s.name || key == s.name+"-file" }) {
			faults = append(faults, fmt.Errorf("%s: no such setting", key))
		}
	}
	if err := k.Load(env.Provider(".", env.Opt{Prefix: "RECONSENT_", TransformFunc: fromEnvironment}), nil); err != nil {
		return config{}, usageError{err}
	}
	if err := k.Load(posflag.Provider(cmd.Flags(), ".", k), nil); err != nil {
		return config{}, usageError{err}
	}
	var c config
	for _, s := range settings {
		if cmd.Flags().Lookup(s.name) == nil {
			continue
		}
		value := k.String(s.name)
		if path := k.String(s.name + "-file"); path != "" && !cmd.Flags().Changed(s.name) {
			b, err := os.ReadFile(path)
			if err != nil {
				faults = append(faults, fmt.Errorf("%s_FILE: %w", environmentName(s.name), err))
				continue
			}
			value = strings.TrimSpace(string(b))
		}
		if err := s.check(value); err != nil {
			faults = append(faults, fmt.Errorf("--%s (%s): %w", s.name, environmentName(s.name), err))
			continue
		}
		*s.into(&c) = value
	}
	if err := errors.Join(faults...); err != nil {
		return c, usageError{errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))}
	}
	return c, nil
}

func environmentName(setting string) string {
	return "RECONSENT_" + strings.ToUpper(strings.ReplaceAll(setting, "-", "_"))
}

func fromEnvironment(key, value string) (string, any) {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(key, "RECONSENT_")), "_", "-"), value
}

func checkDatabaseURL(s string) error {
	if strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://") || (strings.HasPrefix(s, "sqlite:") && len(s) > len("sqlite:")) {
		return nil
	}
	return errors.New("want postgres://... or sqlite:PATH")
}

func checkKeys(s string) error {
	if s == "" {
		return errors.New("missing; make some with 'reconsent keys new' and name the file in RECONSENT_KEYS_FILE")
	}
	_, err := seal.Parse([]byte(s))
	return err
}

func checkAddr(s string) error {
	if _, _, err := net.SplitHostPort(s); err != nil {
		return errors.New("want host:port")
	}
	return nil
}

func checkBaseURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return errors.New("want an address like https://consents.example.com, without path or query")
	}
	return nil
}

// trustedProxies are the networks whose word on a caller's address is taken.
func (c config) trustedProxies() []string {
	return strings.FieldsFunc(c.proxies, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

func checkProxies(s string) error {
	return api.CheckProxies(config{proxies: s}.trustedProxies())
}

func checkLevel(s string) error {
	var l slog.Level
	if l.UnmarshalText([]byte(s)) != nil {
		return errors.New("want debug, info, warn or error")
	}
	return nil
}

func checkSchedule(s string) error {
	_, err := scheduler.ParseSchedule(s)
	return err
}

func checkSMTP(s string) error {
	if s == "" {
		return nil
	}
	_, err := email.New(s, "check@localhost")
	return err
}

func checkSMS(s string) error {
	if s == "" {
		return nil
	}
	_, err := sms.New(s, sms.Options{})
	return err
}

func checkSender(s string) error {
	if _, err := mail.ParseAddress(s); err != nil {
		return errors.New("want an address like \"Reminders <reminders@example.com>\"")
	}
	return nil
}

// logger writes structured lines to standard error.
func (c config) logger(std stdio) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(c.logLevel)) // checked; empty is info
	return slog.New(slog.NewJSONHandler(std.err, &slog.HandlerOptions{Level: level}))
}
