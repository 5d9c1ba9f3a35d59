package outbound

import (
	"net"
	"net/url"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTargets(t *testing.T) {
	for _, tt := range []struct {
		uri      string
		serve    bool // allowed in a deployment
		loopback bool // allowed in development
	}{
		{"https://hooks.example/a?b=c", true, true},
		{"https://hooks.example:8443", true, true},
		{"https://93.184.216.34/", true, true},
		{"https://[2606:4700::1111]/", true, true},
		{"https://bücher.example/", true, true},
		{"http://hooks.example/", false, false},
		{"ftp://hooks.example/", false, false},
		{"javascript:alert(1)", false, false},
		{"//hooks.example", false, false},
		{"hooks.example", false, false},
		{"https:///x", false, false},
		{"https:hooks.example", false, false},
		{"https://:443/", false, false},
		{"https://hooks.example:0/", false, false},
		{"https://hooks.example:65536/", false, false},
		{"https://user@hooks.example/", false, false},
		{"https://user:pw@hooks.example/", false, false},
		{"https://hooks.example/#frag", false, false},
		{"http://127.0.0.1:9000/hook", false, true},
		{"http://localhost:9000/hook", false, true},
		{"http://LOCALHOST./hook", false, true},
		{"https://a.localhost/", false, true},
		{"http://[::1]:80/", false, true},
		{"http://[::ffff:127.0.0.1]/", false, true},
		{"https://127.0.0.1/", false, true},
		{"https://127.1/", false, false},
		{"https://2130706433/", false, false},
		{"https://0x7f000001/", false, false},
		{"https://0177.0.0.1/", false, false},
		{"https://0.0.0.0/", false, false},
		{"https://10.1.2.3/", false, false},
		{"https://172.16.0.1/", false, false},
		{"https://192.168.1.1/", false, false},
		{"https://100.64.0.1/", false, false},
		{"https://169.254.169.254/latest/meta-data", false, false},
		{"https://224.0.0.1/", false, false},
		{"https://255.255.255.255/", false, false},
		{"https://[fe80::1]/", false, false},
		{"https://[fe80::1%25eth0]/", false, false},
		{"https://[fd00::1]/", false, false},
		{"https://[::]/", false, false},
		{"https://[::ffff:10.0.0.1]/", false, false},
		{"https://[64:ff9b::7f00:1]/", false, false},
		{"https://[2002:7f00:1::]/", false, false},
	} {
		u, err := url.Parse(tt.uri)
		if err != nil {
			assert.False(t, tt.serve || tt.loopback, tt.uri)
			continue
		}
		for loopback, want := range map[bool]bool{false: tt.serve, true: tt.loopback} {
			err := NewTargets(loopback).Check(u)
			assert.Equal(t, want, err == nil, "%s, loopback %v: %v", tt.uri, loopback, err)
		}
	}
}

// FuzzTargets: whatever is let through in a deployment is https, has a host,
// and is no address that is not public.
func FuzzTargets(f *testing.F) {
	for _, seed := range []string{"https://hooks.example/", "https://127.0.0.1/", "https://[::1%25lo]:1/", "https://0x7f.1/", "https://a@b/", "https://1.1.1.1.:443"} {
		f.Add(seed)
	}
	deployed, development := NewTargets(false), NewTargets(true)
	f.Fuzz(func(t *testing.T, uri string) {
		u, err := url.Parse(uri)
		if err != nil || deployed.Check(u) != nil {
			return
		}
		require.NoError(t, development.Check(u), "development allows more, never less")
		require.Equal(t, "https", u.Scheme)
		require.Nil(t, u.User)
		require.NotEmpty(t, u.Hostname())
		if ip := net.ParseIP(u.Hostname()); ip != nil {
			require.False(t, ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || ip.IsUnspecified() || ip.IsMulticast(), uri)
		}
	})
}
