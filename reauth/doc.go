// Package reauth lets an application's users prove again who they are.
package reauth
