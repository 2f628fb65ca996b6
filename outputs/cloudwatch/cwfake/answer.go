package cwfake

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
)

// jsonType is the content type of AWS JSON 1.1, both ways.
const jsonType = "application/x-amz-json-1.1"

// The names of the errors that the server answers on its own, as in the API reference and its common errors.
const (
	codeAborted           = "OperationAbortedException"
	codeDenied            = "AccessDeniedException"
	codeExists            = "ResourceAlreadyExistsException"
	codeExpired           = "ExpiredTokenException"
	codeIncomplete        = "IncompleteSignatureException"
	codeInternal          = "InternalFailure"
	codeInvalidParameter  = "InvalidParameterException"
	codeInvalidSignature  = "InvalidSignatureException"
	codeLimitExceeded     = "LimitExceededException"
	codeMissingAuth       = "MissingAuthenticationTokenException"
	codeNotFound          = "ResourceNotFoundException"
	codeSerialization     = "SerializationException"
	codeThrottling        = "ThrottlingException"
	codeTooLarge          = "RequestEntityTooLargeException"
	codeTooManyTags       = "TooManyTagsException"
	codeUnavailable       = "ServiceUnavailableException"
	codeUnknownOperation  = "UnknownOperationException"
	codeUnrecognizedToken = "UnrecognizedClientException"
)

// An apiError is an answer that the service gives in place of a result.
type apiError struct {
	status  int
	code    string
	message string
}

func (e *apiError) Error() string {
	return fmt.Sprintf("%s: %s (HTTP %d)", e.code, e.message, e.status)
}

// invalid is an error with status 400, which most have, throttling included.
func invalid(code, message string) error { return &apiError{http.StatusBadRequest, code, message} }

// invalidf is an InvalidParameterException.
func invalidf(format string, args ...any) error {
	return invalid(codeInvalidParameter, fmt.Sprintf(format, args...))
}

func errThrottled() error { return invalid(codeThrottling, "Rate exceeded") }

func errTooLarge() error {
	return &apiError{http.StatusRequestEntityTooLarge, codeTooLarge, "The request body is too large."}
}

// resultOf is how an operation's end is counted.
func resultOf(err error) string {
	if err == nil {
		return ResultOK
	}
	if e, ok := errors.AsType[*apiError](err); ok {
		return e.code
	}
	return codeInternal
}

// encode is an answer's JSON. An operation without a result has an empty body.
func encode(answer any) []byte {
	if answer == nil {
		return nil
	}
	b, err := json.Marshal(answer)
	if err != nil {
		panic(err) // answers are structs of strings and numbers
	}
	return b
}

// writeHead writes what goes before every true answer of the service.
func writeHead(w http.ResponseWriter, status, length int) {
	h := w.Header()
	h.Set("Content-Type", jsonType)
	h.Set("Content-Length", strconv.Itoa(length))
	h.Set("x-amzn-RequestId", newRequestID())
	w.WriteHeader(status)
}

func writeAnswer(w http.ResponseWriter, status int, body []byte) {
	writeHead(w, status, len(body))
	_, _ = w.Write(body) // a client that went has its own error
}

func writeError(w http.ResponseWriter, err error) {
	e, ok := errors.AsType[*apiError](err)
	if !ok {
		e = &apiError{http.StatusInternalServerError, codeInternal, err.Error()}
	}
	writeAnswer(w, e.status, e.encode())
}

// encode is the error's JSON.
func (e *apiError) encode() []byte {
	return encode(struct {
		Type    string `json:"__type"`
		Message string `json:"message"`
	}{e.code, e.message})
}

// newRequestID has the form of a random UUID.
func newRequestID() string {
	a, b := rand.Uint64(), rand.Uint64()
	return fmt.Sprintf("%08x-%04x-4%03x-%04x-%012x", a>>32, a>>16&0xffff, a&0xfff, 0x8000|b>>48&0x3fff, b&0xffffffffffff)
}
