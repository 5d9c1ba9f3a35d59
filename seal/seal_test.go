package seal_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/reconsent/reconsent/seal"
)

func mustGenerate(t *testing.T) *seal.Keys {
	t.Helper()
	k, err := seal.Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustSeal(t *testing.T, k *seal.Keys, plaintext, row string) []byte {
	t.Helper()
	sealed, err := k.Seal([]byte(plaintext), row)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSealedOpensOnlyForItsRow(t *testing.T) {
	k := mustGenerate(t)
	sealed := mustSeal(t, k, "refresh-token", "con_1")

	got, err := k.Open(sealed, "con_1")
	if err != nil || string(got) != "refresh-token" {
		t.Fatalf("open = %q, %v", got, err)
	}
	if bytes.Contains(sealed, []byte("refresh-token")) {
		t.Fatal("ciphertext shows the plaintext")
	}
	if _, err := k.Open(sealed, "con_2"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("another row: err = %v, want ErrOpen", err)
	}
	sealed[len(sealed)-1] ^= 1
	if _, err := k.Open(sealed, "con_1"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("altered: err = %v, want ErrOpen", err)
	}
	if _, err := mustGenerate(t).Open(mustSeal(t, k, "x", "r"), "r"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("another key: err = %v, want ErrOpen", err)
	}
}

func TestKeysSurviveTheirFile(t *testing.T) {
	k := mustGenerate(t)
	file, err := k.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	again, err := seal.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := again.Open(mustSeal(t, k, "secret", "row"), "row"); err != nil || string(got) != "secret" {
		t.Fatalf("open = %q, %v", got, err)
	}
	a, _ := k.Fingerprint("token", []byte("secret"))
	b, _ := again.Fingerprint("token", []byte("secret"))
	if !bytes.Equal(a, b) || len(a) != 32 {
		t.Fatalf("fingerprints %x and %x", a, b)
	}
}

func TestRotatedKeysOpenOldAndSealNew(t *testing.T) {
	old := mustGenerate(t)
	rotated, err := old.Rotate()
	if err != nil {
		t.Fatal(err)
	}
	if got, err := rotated.Open(mustSeal(t, old, "secret", "row"), "row"); err != nil || string(got) != "secret" {
		t.Fatalf("old ciphertext: %q, %v", got, err)
	}
	if _, err := old.Open(mustSeal(t, rotated, "secret", "row"), "row"); !errors.Is(err, seal.ErrOpen) {
		t.Errorf("the old keys opened what the new key sealed: %v", err)
	}
	was, is := mustSeal(t, old, "secret", "row"), mustSeal(t, rotated, "secret", "row")
	if !old.Current(was) || rotated.Current(was) || !rotated.Current(is) || old.Current(is) || rotated.Current(nil) {
		t.Error("what the present key sealed is not told from what another one did")
	}
	a, _ := old.Fingerprint("token", []byte("x"))
	b, _ := rotated.Fingerprint("token", []byte("x"))
	if !bytes.Equal(a, b) {
		t.Error("rotation changed fingerprints: nothing would be found again")
	}
}

func TestFingerprintsOfTwoPurposesHaveNothingInCommon(t *testing.T) {
	k := mustGenerate(t)
	a, _ := k.Fingerprint("token", []byte("x"))
	b, _ := k.Fingerprint("state", []byte("x"))
	c, _ := mustGenerate(t).Fingerprint("token", []byte("x"))
	if bytes.Equal(a, b) || bytes.Equal(a, c) {
		t.Error("fingerprints agree over purposes or installations")
	}
}

func TestParseRefusesWhatIsNoKeyFile(t *testing.T) {
	for _, in := range []string{"", "{", "null", "[]", `"x"`, "{}", `{"sealing":{},"fingerprint":{}}`, `{"sealing":"secret-material","fingerprint":1}`} {
		_, err := seal.Parse([]byte(in))
		if err == nil {
			t.Errorf("Parse(%q) was accepted", in)
			continue
		}
		if bytes.Contains([]byte(err.Error()), []byte("secret-material")) {
			t.Errorf("Parse(%q) quotes the file: %v", in, err)
		}
	}
}
