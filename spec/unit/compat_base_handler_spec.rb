# frozen_string_literal: true

require "volador/compat/agoo/base_handler"

RSpec.describe Volador::Compat::Agoo::BaseHandler do
  describe Volador::Compat::Agoo::Request do
    def port(host)
      described_class.new({ "SERVER_PORT" => "80", "HTTP_HOST" => host }.compact).server_port
    end

    it "has the port of the Host header, a String, and none where that names none" do
      hosts = ["a.test:8080", "[::1]:81", "a.test", "[::1]", nil]
      expect(hosts.map { |host| port(host) }).to eq ["8080", "81", nil, nil, nil]
    end

    it "has the fields of the request's head, and the version of HTTP is none of them" do
      env = { "HTTP_VERSION" => "HTTP/1.1", "HTTP_X_ONE" => "1", "CONTENT_TYPE" => "text/plain", "PATH_INFO" => "/" }
      expect(described_class.new(env).headers).to eq("HTTP_X_ONE" => "1", "CONTENT_TYPE" => "text/plain")
    end

    it "takes the connection by call" do
      expect(described_class.new({ "rack.hijack" => -> { :the_socket } }).call).to eq :the_socket
    end
  end

  describe Volador::Compat::Agoo::Response do
    subject(:response) { described_class.new }

    it "is the text of an answer" do
      response.code = 404
      response["X-One"] = 1
      response.body = "nö"
      expect(response.to_s).to eq "HTTP/1.1 404 Not Found\r\ncontent-length: 3\r\nx-one: 1\r\n\r\nnö"
    end

    it "has no body at first" do
      expect(response.to_s).to eq "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    end
  end
end
