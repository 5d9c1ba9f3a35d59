// Package api is the HTTP surface: the JSON API for backends, the pages for
// people, health, and the OpenAPI document.
//
// It owns authentication by API key, the reading and checking of requests, the
// one table that turns an error code into a status (problem.go), and the one
// table of operations (operations.go) from which both the routes and the
// OpenAPI document are made.
//
// It must never decide about a consent, write a query, import an adapter, or
// log a query string: codes, states and link tokens travel there.
package api
