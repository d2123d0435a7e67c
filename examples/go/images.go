package main

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// load reads images, and their classes, a byte each, where a file of them is named.
func load(imageFile, labelFile string, size int) (images, labels [][]byte, err error) {
	if images, err = items(imageFile, 3, size); err != nil || labelFile == "" {
		return images, nil, err
	}
	if labels, err = items(labelFile, 1, 1); err != nil {
		return nil, nil, err
	}
	if len(labels) != len(images) {
		text := fmt.Sprintf("%s has %d labels for %d images", labelFile, len(labels), len(images))
		return nil, nil, failure{exitBadData, text}
	}
	return images, labels, nil
}

// label is the class of the image that request n shows, and whether it is known.
func (s *session) label(n int) (class int, isKnown bool) {
	if s.labels == nil {
		return 0, false
	}
	return int(s.labels[n%len(s.labels)][0]), true
}

// items cuts a file into its items: those of an IDX file with so many dimensions, or else `size` bytes each.
func items(path string, dimensions, size int) ([][]byte, error) {
	data, err := contents(path)
	if err != nil {
		return nil, failure{exitBadData, fmt.Sprintf("%s cannot be read: %v", path, err)}
	}
	start := 4 + 4*dimensions
	if bytes.HasPrefix(data, []byte{0, 0, 8, byte(dimensions)}) && len(data) >= start {
		idxSize, count := 1, int(binary.BigEndian.Uint32(data[4:]))
		for at := 8; at < start; at += 4 {
			idxSize *= int(binary.BigEndian.Uint32(data[at:]))
		}
		if idxSize > 0 && (len(data)-start)/idxSize == count && (len(data)-start)%idxSize == 0 {
			data, size = data[start:], idxSize
		}
	}
	if len(data) == 0 || len(data)%size != 0 {
		text := "%s is no IDX file of %d dimensions, and its %d bytes are no multiple of %d: correct -size, or the file"
		return nil, failure{exitBadData, fmt.Sprintf(text, path, dimensions, len(data), size)}
	}
	var parts [][]byte
	for at := 0; at < len(data); at += size {
		parts = append(parts, data[at:at+size])
	}
	return parts, nil
}

func contents(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if filepath.Ext(path) != ".gz" {
		return io.ReadAll(file)
	}
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(unpacked)
}
