// Package bankbrowser walks a person's way through the sandbox bank, for
// tests: it follows pages, fills in their forms, and stops at the address that
// the bank sends the browser back to.
//
// It reads pages as a person does, by their forms and fields. It must never
// call anything but what a page leads to.
package bankbrowser
