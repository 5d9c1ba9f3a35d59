package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/reconsent/reconsent/consent"
)

type handler func(s *Server, c *gin.Context, app *consent.Application)

// operation is one call of the backend API: its route, its documentation and
// its handler stand together, so that none can drift from the others.
type operation struct {
	method  string
	path    string
	id      string
	summary string
	about   string
	query   any    // struct of query parameters; nil for none
	body    any    // request body; nil for none
	status  int    // of success
	reply   any    // body of success; nil for none
	media   string // type of reply; empty for application/json
	codes   []consent.Code
	// One of the three handles it: for the application of an API key, for the
	// user of a token, or for whoever asks.
	handle handler
	user   byUser
	open   func(s *Server, c *gin.Context)

	vendor    bool // its errors are CloudBase's
	eitherKey bool // open to API keys and to tokens of users
}

// always are the codes that any call may answer.
var always = []consent.Code{codeUnauthorized, consent.CodeInvalidRequest, codeInternal}

// withBody are the codes that any call with a body may answer.
var withBody = []consent.Code{codePayloadTooLarge, codeUnsupportedMedia}

// atProvider are the codes of every call that has to ask the provider.
var atProvider = []consent.Code{
	consent.CodeProviderUnavailable, consent.CodeProviderMisconfig, consent.CodeProviderUnsupported, consent.CodeProviderUnknown,
}

// renewalCodes are what stands in the way of beginning a renewal.
var renewalCodes = append([]consent.Code{
	consent.CodeConsentNotFound, consent.CodeCredentialsAmbiguous, consent.CodeConsentRevoked, consent.CodeConsentPending,
	consent.CodeConsentUnrenewable, consent.CodeAuthInputsRequired, consent.CodeRedirectURIMismatch,
	consent.CodeRedirectURINotAllow, consent.CodeReturnToNotAllowed,
}, atProvider...)

const aboutReauth = `Names one consent and returns a direct link to its bank. The consent stays as it is until the person has been there and the provider has proven that the same login came back. ` +
	`A consent that can no longer be renewed answers 410 with a first link in authuri. TrueLayer's own body works, with our API key beside it.`

// operations are the API.
var operations = append(consentOperations, reauthOperations...)

// consentOperations are what backends do with consents.
var consentOperations = []operation{
	{
		method: http.MethodPost, path: "/v1/authuri", id: "startLink", summary: "Begin a first link",
		about: "Stores an attempt and returns the provider's link.",
		body:  LinkRequest{}, status: http.StatusCreated, reply: LinkStarted{}, handle: (*Server).startLink,
		codes: append([]consent.Code{consent.CodeRedirectURINotAllow, consent.CodeReturnToNotAllowed}, atProvider...),
	},
	{
		method: http.MethodPost, path: "/reauthuri", id: "reauthorizeShort", summary: "Begin a renewal (short address)",
		about: aboutReauth, body: ReauthRequest{}, status: http.StatusOK, reply: ReauthStarted{},
		codes: renewalCodes, handle: (*Server).reauthorize,
	},
	{
		method: http.MethodPost, path: "/v1/reauthuri", id: "reauthorize", summary: "Begin a renewal",
		about: aboutReauth, body: ReauthRequest{}, status: http.StatusOK, reply: ReauthStarted{},
		codes: renewalCodes, handle: (*Server).reauthorize,
	},
	{
		method: http.MethodPost, path: "/v1/callback", id: "completeAttempt", summary: "Forward what the bank sent back",
		about: "Completes an attempt whose browser returned to the application. Calling again shows the same outcome. Where the person said no, or the bank failed, the answer is 200 with status denied or failed.",
		body:  CallbackRequest{}, status: http.StatusOK, reply: CallbackResult{}, handle: (*Server).callback,
		codes: append([]consent.Code{
			consent.CodeAttemptNotFound, consent.CodeStateUnknown, consent.CodeStateAmbiguous, consent.CodeAttemptExpired,
			consent.CodeAttemptInProgress, consent.CodeAttemptInterrupted, consent.CodeCredentialsMismatch, consent.CodeConsentPending,
			consent.CodeCodeRefused, consent.CodeIdentityUnproven, consent.CodeConsentRevoked,
		}, atProvider...),
	},
	{
		method: http.MethodGet, path: "/v1/attempts/{id}", id: "getAttempt", summary: "Look at an attempt",
		status: http.StatusOK, reply: Attempt{}, handle: (*Server).getAttempt,
		codes: []consent.Code{consent.CodeAttemptNotFound},
	},
	{
		method: http.MethodPost, path: "/v1/attempts/{id}/confirm", id: "confirmAttempt", summary: "Vouch for a hosted first link",
		about: "A hosted first link stays pending, without token or data, until the application confirms it from the session of the person who asked for it. What is not confirmed within an hour is given back.",
		body:  ConfirmRequest{}, status: http.StatusOK, reply: CallbackResult{}, handle: (*Server).confirm,
		codes: append([]consent.Code{
			consent.CodeAttemptNotFound, consent.CodeResultInvalid, consent.CodeAttemptExpired, consent.CodeAttemptInProgress, consent.CodeCodeRefused,
			consent.CodeIdentityUnproven, consent.CodeConsentRevoked, consent.CodeCredentialsMismatch,
		}, atProvider...),
	},
	{
		method: http.MethodGet, path: "/v1/consents", id: "listConsents", summary: "List consents",
		about: "Oldest first. Status is computed at the moment of asking.",
		query: listQuery{}, status: http.StatusOK, reply: ConsentList{}, handle: (*Server).listConsents,
	},
	{
		method: http.MethodPost, path: "/v1/consents", id: "registerConsent", summary: "Register a consent that exists already",
		body: NewConsent{}, status: http.StatusCreated, reply: Consent{}, handle: (*Server).registerConsent,
		codes: []consent.Code{consent.CodeConsentExists, consent.CodeProviderUnknown, consent.CodeRedirectURINotAllow},
	},
	{
		method: http.MethodGet, path: "/v1/consents/{id}", id: "getConsent", summary: "Look at a consent",
		status: http.StatusOK, reply: Consent{}, handle: (*Server).getConsent,
		codes: []consent.Code{consent.CodeConsentNotFound},
	},
	{
		method: http.MethodDelete, path: "/v1/consents/{id}", id: "revokeConsent", summary: "Revoke a consent",
		about:  "Drops its tokens at once and gives the grant back at the provider, now or as soon as that answers. Revoking again changes nothing.",
		status: http.StatusOK, reply: Consent{}, handle: (*Server).revokeConsent,
		codes: []consent.Code{consent.CodeConsentNotFound},
	},
	{
		method: http.MethodGet, path: "/v1/consents/{id}/events", id: "listEvents", summary: "Read a consent's history",
		query: pageQuery{}, status: http.StatusOK, reply: EventList{}, handle: (*Server).listEvents,
		codes: []consent.Code{consent.CodeConsentNotFound},
	},
	{
		method: http.MethodPost, path: "/v1/consents/{id}/token", id: "getToken", summary: "Get an access token",
		about: "The cached one until a minute before its end, else a fresh one; one refresh at a time per consent.",
		body:  TokenRequest{}, status: http.StatusOK, reply: TokenResponse{}, handle: (*Server).token,
		codes: append([]consent.Code{
			consent.CodeConsentNotFound, consent.CodeConsentRevoked, consent.CodeConsentPending, consent.CodeReauthRequired,
			consent.CodeTokenMissing, consent.CodeAttemptInProgress,
		}, atProvider...),
	},
	{
		method: http.MethodPut, path: "/v1/consents/{id}/token", id: "handInToken", summary: "Hand in a newer refresh token",
		about: "For consents in custody backend, which the application refreshes itself.",
		body:  HandInRequest{}, status: http.StatusOK, reply: Consent{}, handle: (*Server).handInToken,
		codes: []consent.Code{
			consent.CodeConsentNotFound, consent.CodeConsentRevoked, consent.CodeConsentPending, consent.CodeCustodyOurs, consent.CodeAttemptInProgress,
		},
	},
	{
		method: http.MethodPost, path: "/v1/consents/{id}/reconnect-links", id: "newReconnectLink", summary: "Make a link to the reconnect page",
		about: "For the application's own mails. Opening the link changes nothing; its button leads to the bank.",
		body:  ReconnectRequest{}, status: http.StatusCreated, reply: ReconnectLink{}, handle: (*Server).newReconnectLink,
		codes: []consent.Code{consent.CodeConsentNotFound, consent.CodeConsentRevoked, consent.CodeConsentPending, consent.CodeReturnToNotAllowed},
	},
	{
		method: http.MethodPost, path: "/v1/consents/{id}/reconfirm", id: "reconfirm", summary: "Reconfirm a consent (UK, 90 days)",
		about: "Records that the person was shown the statement and confirmed it, and has the provider extend the consent. Either that renews it at once, or the person still has to visit the bank at uri. " +
			"To be called on the person's own act only, never by a schedule. It is TrueLayer's connections/extend.",
		body: ReconfirmRequest{}, status: http.StatusOK, reply: ReconfirmResult{}, handle: (*Server).reconfirm,
		codes: append([]consent.Code{
			consent.CodeConsentNotFound, consent.CodeConsentRevoked, consent.CodeConsentPending, consent.CodeConsentUnrenewable, consent.CodeTokenMissing,
			consent.CodeUserDetailsRequired, consent.CodeReauthRequired, consent.CodeAttemptInProgress, consent.CodeRedirectURIMismatch,
			consent.CodeRedirectURINotAllow, consent.CodeReturnToNotAllowed, consent.CodeIdentityUnproven, consent.CodeCredentialsMismatch,
		}, atProvider...),
	},
	{
		method: http.MethodGet, path: "/v1/consents/{id}/confirmations", id: "listConfirmations", summary: "Read what people confirmed of a consent",
		about:  "Oldest first: who, when, and the exact words.",
		status: http.StatusOK, reply: ConfirmationList{}, handle: (*Server).listConfirmations,
		codes: []consent.Code{consent.CodeConsentNotFound},
	},
	{
		method: http.MethodGet, path: "/v1/alarms", id: "listAlarms", summary: "List what somebody has to look at",
		about: "Newest first: a provider whose refreshes fail, a bank that is out, a mail ceiling that is reached, a webhook endpoint that is paused because it fails. While a provider or a bank is alarmed, nothing ends and nobody is mailed about it.",
		query: alarmQuery{}, status: http.StatusOK, reply: AlarmList{}, handle: (*Server).listAlarms,
	},
	{
		method: http.MethodPost, path: "/webhooks/{provider}/{application}", id: "receiveProviderWebhook", summary: "Take a provider's webhook",
		about: "For providers, which prove themselves as each prescribes. 202 says that it is stored; what it tells is then asked of the provider, and the same event twice is one. 256 KiB at most.",
		query: inboundPath{}, status: http.StatusAccepted, open: (*Server).inboundWebhook,
		codes: []consent.Code{consent.CodeWebhookUnknown, consent.CodeWebhookUnverified, codePayloadTooLarge},
	},
	{
		method: http.MethodPost, path: "/v1/webhook-endpoints", id: "createWebhookEndpoint", summary: "Make a webhook endpoint",
		about: "Events are posted to it as they happen, signed by Standard Webhooks. The secret is returned once. The address has to be https and public.",
		body:  WebhookEndpointRequest{}, status: http.StatusCreated, reply: WebhookEndpoint{}, handle: (*Server).createWebhookEndpoint,
		codes: []consent.Code{consent.CodeWebhookLimit},
	},
	{
		method: http.MethodGet, path: "/v1/webhook-endpoints", id: "listWebhookEndpoints", summary: "List the webhook endpoints",
		status: http.StatusOK, reply: WebhookEndpointList{}, handle: (*Server).listWebhookEndpoints,
	},
	{
		method: http.MethodGet, path: "/v1/webhook-endpoints/{id}", id: "getWebhookEndpoint", summary: "Look at a webhook endpoint",
		status: http.StatusOK, reply: WebhookEndpoint{}, handle: (*Server).getWebhookEndpoint,
		codes: []consent.Code{consent.CodeWebhookNotFound},
	},
	{
		method: http.MethodPatch, path: "/v1/webhook-endpoints/{id}", id: "changeWebhookEndpoint", summary: "Change a webhook endpoint",
		about: "What is left out stays. Set active, it gets at once what waited for it.",
		body:  WebhookEndpointChange{}, status: http.StatusOK, reply: WebhookEndpoint{}, handle: (*Server).changeWebhookEndpoint,
		codes: []consent.Code{consent.CodeWebhookNotFound},
	},
	{
		method: http.MethodDelete, path: "/v1/webhook-endpoints/{id}", id: "deleteWebhookEndpoint", summary: "Delete a webhook endpoint",
		about:  "Its deliveries are deleted with it; those that wait are not made.",
		status: http.StatusNoContent, handle: (*Server).deleteWebhookEndpoint,
		codes: []consent.Code{consent.CodeWebhookNotFound},
	},
	{
		method: http.MethodPost, path: "/v1/webhook-endpoints/{id}/rotate-secret", id: "rotateWebhookSecret", summary: "Give a webhook endpoint a new secret",
		about:  "Returned once. For a day webhooks are signed under both, the new one and the one before.",
		status: http.StatusOK, reply: WebhookEndpoint{}, handle: (*Server).rotateWebhookSecret,
		codes: []consent.Code{consent.CodeWebhookNotFound},
	},
	{
		method: http.MethodGet, path: "/v1/webhook-endpoints/{id}/deliveries", id: "listDeliveries", summary: "List what was, or is to be, sent to a webhook endpoint",
		about: "The newest event first. Kept for 30 days after they are over.",
		query: deliveryQuery{}, status: http.StatusOK, reply: DeliveryList{}, handle: (*Server).listDeliveries,
		codes: []consent.Code{consent.CodeWebhookNotFound},
	},
	{
		method: http.MethodPost, path: "/v1/webhook-endpoints/{id}/replay", id: "replayDeliveries", summary: "Send deliveries again",
		about: "One by event_id or delivery_id, or all whose event happened from `from` until before `to`, under the webhook-id that they had.",
		body:  ReplayRequest{}, status: http.StatusAccepted, reply: Replayed{}, handle: (*Server).replayDeliveries,
		codes: []consent.Code{consent.CodeWebhookNotFound, consent.CodeDeliveryNotFound},
	},
	{
		method: http.MethodPut, path: "/v1/users/{id}", id: "putUser", summary: "Write a user's contact details",
		about: "Where the user exists, another email, phone or password_hash than before, or none, ends their live codes, reverifications, proofs and sudo tokens in all sessions, " +
			"and what was proven by the old one. The person is not written to of it: the change was yours, and so is telling of it.",
		body: UserRequest{}, status: http.StatusOK, reply: User{}, handle: (*Server).putUser,
	},
	{
		method: http.MethodGet, path: "/v1/users/{id}", id: "getUser", summary: "Read a user's contact details",
		status: http.StatusOK, reply: User{}, handle: (*Server).getUser,
		codes: []consent.Code{consent.CodeUserNotFound},
	},
	{
		method: http.MethodDelete, path: "/v1/users/{id}", id: "eraseUser", summary: "Erase a person",
		about:  "Revokes all of the person's consents and forgets the person; what remains of the history carries a pseudonym.",
		status: http.StatusNoContent, handle: (*Server).eraseUser,
		codes: []consent.Code{consent.CodeUserNotFound, consent.CodeAttemptInProgress},
	},
	{
		method: http.MethodDelete, path: "/v1/users/{id}/refusals", id: "clearRefusals", summary: "Write to a refused address again",
		about:  "Forgets that the person's e-mail address or phone was refused for good: the next message is sent to it. Without this, each cycle of a consent is worth one try.",
		status: http.StatusNoContent, handle: (*Server).clearRefusals,
		codes: []consent.Code{consent.CodeUserNotFound},
	},
}

// listQuery documents the parameters of listConsents.
type listQuery struct {
	Status        string `query:"status" enum:"pending,active,lapsing,lapsed,unrenewable,revoked"`
	UserID        string `query:"user_id"`
	Provider      string `query:"provider"`
	ExpiresBefore string `query:"expires_before" format:"date-time"`
	Limit         int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor        string `query:"cursor"`
}

// alarmQuery documents the parameters of listAlarms.
type alarmQuery struct {
	All bool `query:"all" description:"Those that are over too"`
}

// deliveryQuery documents the parameters of listDeliveries.
type deliveryQuery struct {
	Status string `query:"status" enum:"pending,delivered,failed"`
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor string `query:"cursor"`
}

// pageQuery documents the parameters of any other listing.
type pageQuery struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"200" default:"50"`
	Cursor string `query:"cursor"`
}
