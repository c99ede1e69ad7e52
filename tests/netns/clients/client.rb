# Runs a plan (tests/netns/clients/rows.py) with Ruby's Net::HTTP, on one connection per host.
require "json"
require "net/http"

connections = Hash.new do |made, uri|
  made[uri] = Net::HTTP.start(uri[0], uri[1], use_ssl: true)
end
JSON.parse(File.read(ARGV[0])).each do |step|
  if step["wait"]
    $stdin.gets
    next
  end
  result = { status: 0, size: 0, error: "" }
  begin
    uri = URI(step["url"])
    3.times do
      ask = Net::HTTP.const_get(step["method"].capitalize).new(uri, step["headers"])
      ask.body = "\0" * step["body"] if step["body"] > 0
      size = 0
      answer = connections[[uri.host, uri.port]].request(ask) { |a| a.read_body { |piece| size += piece.bytesize } }
      result[:status], result[:size] = answer.code.to_i, size
      break unless answer["location"]
      uri = URI(answer["location"])
    end
  rescue StandardError => error
    result[:status] = 0
    result[:error] = "#{error.class}: #{error.message}"
    connections.delete([uri.host, uri.port])
  end
  puts result.to_json
  $stdout.flush
end
