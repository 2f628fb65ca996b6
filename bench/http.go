package main

import (
	"context"
	"errors"
	"io"
	"net/http"
)

// get asks a server and gives the status of its answer. read, unless it is nil, is given the body.
func get(ctx context.Context, url string, read func(io.Reader) error) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, response.Body.Close()) }()
	if read != nil {
		return response.StatusCode, read(response.Body)
	}
	return response.StatusCode, nil
}
