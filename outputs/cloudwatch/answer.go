package cloudwatch

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sluicelog/sluice/engine"
)

// A refusal is what came of a call that was no success.
type refusal struct {
	status        int    // HTTP's; 0: there was no answer
	code, message string // AWS's; empty where it was not AWS that answered, or not in its own words
	request       string // AWS's ID of the request; empty: it was not AWS that answered
	err           error
}

func newRefusal(err error) *refusal {
	r := &refusal{err: err}
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		r.code, r.message = api.ErrorCode(), api.ErrorMessage()
	}
	if r.code == "UnknownError" { // the SDK's word for none
		r.code, r.message = "", ""
	}
	if answer, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		r.status, r.request = answer.HTTPStatusCode(), answer.RequestID
	}
	return r
}

// A class is how a refusal is to be taken.
type class int

const (
	transient class = iota // AWS, or the way to it, is not well
	throttled
	denied    // somebody may mend it
	stale     // denied, for credentials that may have been renewed, or a clock that the SDK has found to be wrong
	missing   // no such group or stream
	taken     // already
	conflict  // with what somebody else is doing
	oversize  // for its bytes
	permanent // will never be taken
)

// classOf says what AWS means by one of its codes.
func classOf(code string) (c class, known bool) {
	switch code {
	case "ThrottlingException", "Throttling", "ThrottledException", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded", "SlowDown", "PriorRequestNotComplete",
		"ProvisionedThroughputExceededException", "EC2ThrottledException":
		return throttled, true
	case "ExpiredToken", "ExpiredTokenException", "RequestExpired", "RequestTimeTooSkewed", "InvalidSignatureException",
		"SignatureDoesNotMatch", "UnrecognizedClientException", "InvalidClientTokenId", "InvalidAccessKeyId", "AuthFailure":
		return stale, true
	case "AccessDeniedException", "AccessDenied", "NotAuthorized", "UnauthorizedOperation", "IncompleteSignature",
		"MissingAuthenticationToken", "MissingAuthenticationTokenException", "OptInRequired", "LimitExceededException",
		"ServiceQuotaExceededException", "InvalidOperationException", "UnknownOperationException":
		return denied, true
	case "ResourceNotFoundException":
		return missing, true
	case "ResourceAlreadyExistsException", "DataAlreadyAcceptedException":
		return taken, true
	case "OperationAbortedException", "ConflictException", "InvalidSequenceTokenException":
		return conflict, true
	case "InvalidParameterException", "ValidationException", "ValidationError", "SerializationException":
		return permanent, true
	case "InternalFailure", "InternalServerException", "InternalServerError", "ServiceUnavailable",
		"ServiceUnavailableException", "RequestTimeout", "RequestTimeoutException", "RequestAborted", "RequestAbortedException",
		"IDPCommunicationError":
		return transient, true
	case "RequestEntityTooLargeException":
		return oversize, true
	}
	return transient, false
}

// classOfStatus says what HTTP means by a status, where that is enough to know.
func classOfStatus(status int) (c class, known bool) {
	switch status {
	case http.StatusTooManyRequests:
		return throttled, true
	case http.StatusRequestEntityTooLarge:
		return oversize, true
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusProxyAuthRequired:
		return denied, true
	case http.StatusRequestTimeout:
		return transient, true
	}
	return transient, status/100 == 5
}

// class goes by AWS's code, and by HTTP's where there is none that is known. Without AWS's request ID somebody on the way
// answered, and knows nothing of what AWS would take. A record is given up for a code that speaks of records, and for no other.
func (r *refusal) class() class {
	if e, ok := errors.AsType[*loginError](r.err); ok {
		return e.class()
	}
	if c, known := classOf(r.code); known {
		return c
	}
	if c, known := classOfStatus(r.status); known {
		return c
	}
	switch {
	case isUnread(r.err):
		return transient
	case r.status/100 == 4 && r.request != "":
		return denied
	case r.status == 0 && isUnsendable(r.err):
		return denied
	}
	return transient
}

// isUnread reports whether an answer was cut, came too late or cannot be understood, so that nobody knows what it said.
func isUnread(err error) bool {
	_, ok := errors.AsType[*smithy.DeserializationError](err)
	return ok || isTimeout(err)
}

// isUnsendable reports whether the SDK could not even make a request, as of a region that cannot be: no network is to blame.
func isUnsendable(err error) bool {
	_, asked := errors.AsType[*smithy.OperationError](err)
	_, sent := errors.AsType[*smithyhttp.RequestSendError](err)
	return asked && !sent && !isTimeout(err)
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
}

// class tells a service that is not well from credentials that are not there, or are not good.
func (e *loginError) class() class {
	if c, known := e.said(); known {
		if c == throttled || c == transient {
			return transient
		}
		return denied
	}
	if asked, ok := errors.AsType[*smithy.OperationError](e.err); ok && asked.Service() == "ec2imds" {
		return denied // the last of the chain: where there is no such service, there are no credentials
	}
	if _, ok := errors.AsType[*smithyhttp.RequestSendError](e.err); ok || isUnread(e.err) {
		return transient
	}
	return denied
}

// said is what the service said that was asked for credentials.
func (e *loginError) said() (c class, known bool) {
	if api, ok := errors.AsType[smithy.APIError](e.err); ok {
		if c, known := classOf(api.ErrorCode()); known {
			return c, true
		}
		if api.ErrorFault() == smithy.FaultServer {
			return transient, true
		}
	}
	if answer, ok := errors.AsType[*smithyhttp.ResponseError](e.err); ok {
		return classOfStatus(answer.HTTPStatusCode())
	}
	return transient, false
}

// reason is the short code of a refusal that is permanent.
func (r *refusal) reason() string {
	switch r.code {
	case "InvalidParameterException":
		return "invalid_parameter"
	case "SerializationException":
		return "serialization"
	}
	return "validation"
}

// kind is what the engine is told of a refusal, along with what was done to whom.
func (o *Output) kind(what string, t target, r *refusal) error {
	err := o.tell(what, t, r)
	switch r.class() {
	case throttled:
		err = engine.RetryAfter(0, err)
	case denied, stale, missing:
		err = engine.Denied(err)
	case oversize:
		err = engine.TooLarge(err)
	case permanent:
		err = engine.Permanent(r.reason(), err)
	case transient, conflict, taken:
		err = engine.Retryable(err)
	}
	return engine.OfRequest(r.request, err)
}

const maxQuote = 512 // bytes of AWS's words that are told

// tell puts a refusal in words: one line, and nothing in it that is secret. What it unwraps to is whether time ran out, no more.
func (o *Output) tell(what string, t target, r *refusal) error {
	text := r.err.Error()
	if r.code != "" || r.status >= http.StatusMultipleChoices {
		text = strings.TrimSpace(strconv.Itoa(r.status) + " " + http.StatusText(r.status))
		if r.code != "" {
			text += " " + r.code + ": " + r.message
		}
		if r.request != "" {
			text += ", request " + r.request
		}
	}
	if e, ok := errors.AsType[*loginError](r.err); ok {
		text = e.Error()
	}
	text, _, _ = strings.Cut(o.login.redact(text), "\n")
	if len(text) > maxQuote {
		text = text[:maxQuote] + "..."
	}
	text = strings.Map(printable, strings.ToValidUTF8(text, "\ufffd"))
	for _, cause := range []error{context.DeadlineExceeded, context.Canceled} {
		if errors.Is(r.err, cause) {
			return &timeoutError{fmt.Sprintf("%s %s: %s", what, t, text), cause}
		}
	}
	return fmt.Errorf("%s %s: %s", what, t, text)
}

// A timeoutError is told in its own words, and unwraps to its cause.
type timeoutError struct {
	text  string
	cause error
}

func (e *timeoutError) Error() string { return e.text }
func (e *timeoutError) Unwrap() error { return e.cause }

func printable(r rune) rune {
	if strconv.IsPrint(r) {
		return r
	}
	return ' '
}
