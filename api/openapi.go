package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/swaggest/jsonschema-go"
	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"

	"github.com/reconsent/reconsent/consent"
	"github.com/reconsent/reconsent/reauth"
)

// Document writes the OpenAPI 3.1 document of the backend API from the table
// of operations and the Go types that the handlers use.
func Document(version string) ([]byte, error) {
	r := openapi31.NewReflector()
	r.Spec.Info.WithTitle("reconsent").WithVersion(version).
		WithDescription("Keeps bank connections alive. Errors are RFC 9457 problem documents with a stable code; times are RFC 3339 in UTC.")
	r.SpecEns().SetHTTPBearerTokenSecurity("apiKey", "rck_...", "The application's API key")
	r.SpecEns().SetHTTPBearerTokenSecurity("userToken", "JWT", "A token of the application's own identity provider, with sub and sid")
	r.JSONSchemaReflector().DefaultOptions = append(r.JSONSchemaReflector().DefaultOptions,
		jsonschema.InterceptDefName(func(_ reflect.Type, name string) string { return strings.TrimPrefix(name, "Api") }),
		jsonschema.InterceptProp(nullable),
	)
	for _, op := range operations {
		if err := document(r, op); err != nil {
			return nil, fmt.Errorf("document %s %s: %w", op.method, op.path, err)
		}
	}
	return json.MarshalIndent(r.Spec, "", "  ")
}

func document(r *openapi31.Reflector, op operation) error {
	oc, err := r.NewOperationContext(op.method, op.path)
	if err != nil {
		return err
	}
	oc.SetID(op.id)
	oc.SetSummary(op.summary)
	oc.SetDescription(op.about)
	switch {
	case op.eitherKey:
		oc.AddSecurity("apiKey")
		oc.AddSecurity("userToken")
	case op.user != nil:
		oc.AddSecurity("userToken")
	case op.open == nil:
		oc.AddSecurity("apiKey")
	}
	if strings.Contains(op.path, "{id}") {
		oc.AddReqStructure(new(struct {
			ID string `path:"id"`
		}))
	}
	if op.query != nil {
		oc.AddReqStructure(op.query)
	}
	if op.body != nil {
		oc.AddReqStructure(op.body)
	}
	oc.AddRespStructure(op.reply, openapi.WithHTTPStatus(op.status), openapi.WithContentType(op.media))
	for status, codes := range op.byStatus() {
		if op.vendor {
			oc.AddRespStructure(Fault{}, openapi.WithHTTPStatus(status))
			continue
		}
		if status == http.StatusForbidden && slices.Contains(op.codes, reauth.CodeReverificationRequired) {
			oc.AddRespStructure(Refusal{}, openapi.WithHTTPStatus(status), openapi.WithContentType("application/problem+json"))
			continue
		}
		oc.AddRespStructure(Problem{}, openapi.WithHTTPStatus(status), openapi.WithContentType("application/problem+json"),
			func(cu *openapi.ContentUnit) { cu.Description = "Codes: " + strings.Join(codes, ", ") })
	}
	return r.AddOperation(oc)
}

// byStatus groups the codes that a call may answer by their status.
func (op operation) byStatus() map[int][]string {
	codes := slices.Concat(always, op.codes)
	if op.user != nil || op.open != nil && !op.eitherKey {
		codes = slices.DeleteFunc(codes, func(c consent.Code) bool { return c == codeUnauthorized })
	}
	if op.body != nil {
		codes = append(codes, withBody...)
	}
	grouped := map[int][]string{}
	for _, code := range codes {
		status := answers[code].status
		if !slices.Contains(grouped[status], string(code)) {
			grouped[status] = append(grouped[status], string(code))
		}
	}
	for _, list := range grouped {
		slices.Sort(list)
	}
	return grouped
}

// nullable writes what struct tags cannot: a nullable pointer.
func nullable(p jsonschema.InterceptPropParams) error {
	if p.Processed && p.Field.Tag.Get("nullable") == "true" {
		p.PropertySchema.AddType(jsonschema.Null)
	}
	return nil
}

// codesInOrder lists every code for the documentation page.
func codesInOrder() []consent.Code {
	codes := make([]consent.Code, 0, len(answers))
	for code := range answers {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}

// titleOf returns the status line and title of a code.
func titleOf(code consent.Code) string {
	a := answers[code]
	return fmt.Sprintf("%d %s: %s", a.status, http.StatusText(a.status), a.title)
}
